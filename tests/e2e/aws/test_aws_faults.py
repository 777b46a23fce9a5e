"""The whole lifecycle while one call in five fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_simulator.fixture import Aws
from tests.component.aws.faults import faulty
from tests.harness.cloud import Cloud, everything, project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["project"]


def test_from_deploying_to_cleaning_up_while_one_call_in_five_fails(project: Path, aws: Aws, tmp_path: Path) -> None:
    before = everything(aws)
    (tmp_path / "proxy").mkdir()
    with faulty(aws, tmp_path / "proxy") as proxy:
        cloud = Cloud(project, aws, SOURCE="s3", **proxy.environment).ready()
        first = cloud.approved()
        assert set(statuses(first).values()) == {"done"}
        result = cloud.json("test-endpoint", "--text", "hello")
        assert (result["gate"]["failed"], result["endpoint"]["is_what_was_approved"]) == (0, True)
        cloud.edit("train.py", "0.4 + 0.2", "0.5 + 0.2")
        second = cloud.approved()
        assert (statuses(second)["preprocess"], statuses(second)["deploy"]) == ("reused", "done")
        assert "verified: no resources created by mlops remain" in cloud("cleanup", "--yes")
        assert len(proxy.fired()) > 50
    assert everything(aws) == before
