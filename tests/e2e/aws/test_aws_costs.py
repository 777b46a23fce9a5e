"""The costs that mlops shows before it starts anything, and refused costs, on the simulated AWS through the CLI."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws
from tests.harness.cloud import Cloud, cloud, project

pytestmark = pytest.mark.slow
__all__ = ["cloud", "project"]
MONTH = 730 * 0.115 + 2 * 0.1


def amounts(result: dict[str, Any]) -> dict[str, tuple[float | None, float | None]]:
    """Return the costs of each resource for a run and a month."""
    return {line["resource"]: (line["per_run"], line["per_month"]) for line in result["costs"]["lines"]}


def limited(cloud: Cloud, **limits: str) -> Cloud:
    """Provide the same project with limits."""
    return Cloud(cloud.folder, cloud.aws, SOURCE="s3", **limits)


def test_costs_are_shown_before_they_arise_and_cleanup_shows_those_that_end(cloud: Cloud) -> None:
    planned = cloud.json("deploy-infra", "--dry-run")
    assert (planned["costs"]["per_run"], planned["costs"]["per_month"]) == (0, MONTH)
    assert not (cloud.folder / ".mlops").exists(), "a dry run leaves nothing behind"
    refused = limited(cloud, MAX_MONTHLY_COST="84.14")("deploy-infra", "--yes", code=2)
    assert "The endpoint may cost $84.15 a month, more than MAX_MONTHLY_COST of $84.14. Nothing was started." in refused
    limited(cloud, MAX_MONTHLY_COST="84.14")("deploy-infra", "--yes", "--yes-cost")
    cloud.ready()

    refused = limited(cloud, MAX_RUN_COST="1").json("run", code=2)["error"]
    assert "This run may cost $4.299, more than MAX_RUN_COST of $1.00. Nothing was started." in refused["message"]
    assert "--yes-cost" in refused["hint"]
    assert "MAX_RUN_COST" in refused["hint"]
    assert "The endpoint may cost $84.15 a month" in limited(cloud, MAX_MONTHLY_COST="84.14")("run", code=2)
    assert cloud.json("runs") == []

    run = limited(cloud, MAX_RUN_COST="4.299", MAX_MONTHLY_COST="84.15").json("run")
    assert amounts(run) == {
        "preprocess: ml.m5.xlarge": (0.23, None),
        "train: ml.m5.xlarge": (0.23, None),
        "trial: ml.m5.xlarge": (0.115, None),
        "7 builds, general1.small": (2.1, None),
        "13 pipeline actions": (1.624, None),
        "endpoint: ml.m5.large": (None, 83.95),
        "alarms": (None, 0.2),
    }
    assert {line["note"] for line in run["costs"]["lines"] if line["per_run"]} == {
        "at most: max_runtime_minutes",
        "at most: time limits",
    }

    cautious = limited(cloud, MAX_MONTHLY_COST="50")
    output = cautious("approve", "--run-id", run["id"], "--yes", code=2)
    assert "The endpoint may cost $84.15 a month, more than MAX_MONTHLY_COST of $50.00" in output
    assert cloud.json("status")["run"]["status"] == "waiting"
    done = cautious.json("approve", "--run-id", run["id"], "--yes", "--yes-cost")
    assert (done["status"], done["costs"]["per_month"]) == ("done", MONTH)

    second_run = limited(cloud, MAX_RUN_COST="0").json("run")
    assert (second_run["changed"], second_run["costs"]["lines"]) == (False, []), "what starts nothing costs nothing"
    cloud.edit("train.py", "0.4 + 0.2", "0.5 + 0.2")
    second = limited(cloud, MAX_RUN_COST="0.01").json("run", "--yes-cost")["id"]
    forced = cloud.json("run", "--force", "--detach")
    notes = {line["resource"].split(":")[0]: line["note"] for line in forced["costs"]["lines"]}
    assert notes["preprocess"] == f"duration of run {run['id'][:8]}", "the second run has reused it"
    assert notes["train"] == f"duration of run {second[:8]}"
    cloud("stop")
    services = {permission["action"].split(":")[0] for permission in cloud.aws.permissions()}
    assert ("sagemaker" in services, "pricing" in services) == (True, False), "a step never asks for prices: it may not"

    cloud.aws.control("price", usage="Host:ml.m5.large", amount="1")
    cleanup = cloud("cleanup", "--dry-run")
    assert "costs that end" in cleanup
    assert "published 2026-11-20, read 20" in cleanup
    assert cloud.json("cleanup", "--dry-run")["costs"]["per_month"] == MONTH, "the prices of today, asked for once"
    assert cloud.json("cleanup", "--yes")["costs"]["per_hour"] == 0.115


class Denied(Cloud):
    """A caller with all permissions except that for prices."""

    def __init__(self, folder: Path, aws: Aws, keys: dict[str, str], **settings: str) -> None:
        super().__init__(folder, aws, SOURCE="s3", **{name.upper(): key for name, key in keys.items()}, **settings)

    def on_a_terminal(self, answer: str, *arguments: str) -> tuple[int, str]:
        """Return the exit code and the output for this answer on a terminal."""
        leader, follower = pty.openpty()
        process = self.start(*arguments, stdin=follower, stdout=follower, stderr=follower)
        os.close(follower)
        os.write(leader, answer.encode())
        written = b""
        try:
            while block := os.read(leader, 65536):
                written += block
        except OSError:  # the other end is closed
            pass
        os.close(leader)
        return process.wait(), " ".join(written.decode().split())


def test_without_prices_the_command_reports_it_and_asks(project: Path, aws: Aws) -> None:
    everything = {"Action": "*", "Resource": "*"}
    keys = user(aws, "thrifty", everything, {"Effect": "Deny", "Action": "pricing:*", "Resource": "*"})
    denied = Denied(project, aws, keys)
    assert "price unknown: The user thrifty may not pricing:GetProducts." in denied("deploy-infra", "--yes")
    denied("download-data", "--source", "tiny.csv")

    nobody = denied("run", code=2)
    assert "The cost is unknown (preprocess: ml.m5.xlarge, train: ml.m5.xlarge, trial: ml.m5.xlarge, 7 builds" in nobody
    assert "hint: To continue anyway: mlops run --yes\n" in nobody
    kept = Denied(project, aws, keys, MAX_RUN_COST="5")("run", "--yes", code=2)
    assert "so MAX_RUN_COST cannot be checked. Nothing was started." in kept
    code, read = denied.on_a_terminal("n\n", "run")
    assert (code, "Continue anyway? [y/N]" in read, "Nothing was started." in read) == (1, True, True)
    assert denied.json("runs") == []

    run = Denied(project, aws, keys, MAX_RUN_COST="5").json("run", "--yes-cost")
    assert (run["status"], run["costs"]["complete"], run["costs"]["per_run"]) == ("waiting", False, 0)
    done = denied.json("approve", "--run-id", run["id"], "--yes")
    assert done["status"] == "done", "a yes is enough where there is no limit"
    assert [line["unknown_reason"] for line in denied.json("cleanup", "--yes")["costs"]["lines"]] == [
        "The user thrifty may not pricing:GetProducts."
    ] * 2
    assert aws.denials() == []
