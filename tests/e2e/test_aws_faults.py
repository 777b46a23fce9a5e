"""The whole lifecycle while one call in five fails, and with the command killed in the middle of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.aws_simulator.fixture import Aws, aws, aws_server
from tests.backends.aws.faults import faulty
from tests.backends.aws.test_provision import kill_after
from tests.e2e.cloud import Cloud, cloud, everything, project, statuses

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "cloud", "project"]


def test_from_deploying_to_cleaning_up_while_one_call_in_five_fails(project: Path, aws: Aws, tmp_path: Path) -> None:
    before = everything(aws)
    (tmp_path / "proxy").mkdir()
    with faulty(aws, tmp_path / "proxy") as proxy:
        cloud = Cloud(project, aws, SOURCE="s3", **proxy.environment).ready()
        first = cloud.approved()
        assert set(statuses(first).values()) == {"done"}
        found = cloud.json("test-endpoint", "--text", "hello")
        assert (found["gate"]["failed"], found["endpoint"]["is_what_was_approved"]) == (0, True)
        cloud.edit("train.py", "0.4 + 0.2", "0.5 + 0.2")
        second = cloud.approved()
        assert (statuses(second)["preprocess"], statuses(second)["deploy"]) == ("reused", "done")
        assert "proof" in cloud("cleanup", "--yes")
        assert len(proxy.fired()) > 50
    assert everything(aws) == before


def test_a_run_that_is_killed_as_it_starts_is_one_run(cloud: Cloud) -> None:
    cloud.ready()
    kill_after(cloud, "StartPipelineExecution", 1, "run")
    assert cloud.json("run")["status"] == "waiting"
    assert len(cloud.json("runs")) == 1


@pytest.mark.parametrize("call", ["UpdateModelPackage", "PutApprovalResult"])
def test_a_decision_that_is_killed_half_way_is_made_by_the_same_command(cloud: Cloud, call: str) -> None:
    run_id = cloud.ready().json("run")["id"]
    kill_after(cloud, call, 1, "approve", "--run-id", run_id, "--comment", "good")
    if call == "UpdateModelPackage":
        assert cloud.json("approve", "--run-id", run_id, "--comment", "good", "--yes")["status"] == "done"
    else:
        assert "already approved" in cloud("approve", "--run-id", run_id, "--yes", code=1)
        assert cloud.json("status", run_id, "--follow")["run"]["status"] == "done"
    assert cloud.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
