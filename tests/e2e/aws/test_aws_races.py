"""Two people decide about models of one project at the same time, on the simulated AWS."""

from __future__ import annotations

import pytest

from aws_simulator.fixture import aws_server
from tests.conftest import LIMIT_SECONDS, wait_for
from tests.harness.cloud import PIPELINE, Cloud, shared

pytestmark = pytest.mark.slow
__all__ = ["aws_server", "shared"]
SLOW = {"name": "AWS::SageMaker::Endpoint", "seconds": 45}


def deploying(cloud: Cloud, run_id: str) -> bool:
    """Return True if the run's deployment is at work."""
    client = cloud.aws.client("codepipeline")
    listed = client.list_action_executions(pipelineName=PIPELINE, filter={"pipelineExecutionId": run_id})
    return any(
        (action["stageName"], action["actionName"], action["status"]) == ("deploy", "endpoint", "InProgress")
        for action in listed["actionExecutionDetails"]
    )


def live(cloud: Cloud) -> str:
    return str(cloud.json("test-endpoint")["endpoint"]["live_digest"])


def test_a_rollback_replaces_no_model_that_was_approved_beside_it(shared: Cloud) -> None:
    for epochs in (2, 3):
        shared.live("--set", f"epochs={epochs}")
    run = shared.json("run", "--set", "epochs=4")
    model = next(stage["output"] for stage in run["stages"] if stage["name"] == "train")
    shared.aws.control("slow-resource-type", **SLOW)
    with shared.going("approve", "--run-id", run["id"], "--yes") as approval:
        wait_for(lambda: deploying(shared, run["id"]))
        with shared.going("rollback", "--comment", "v2 is bad", "--yes") as rollback:
            _, refusal = rollback.communicate(timeout=LIMIT_SECONDS)
        out, _ = approval.communicate(timeout=LIMIT_SECONDS)
    assert (approval.returncode, rollback.returncode) == (0, 3)
    assert f"The rollback from v2 to v1 was not made: the model {model[:12]} was deployed" in " ".join(refusal.split())
    assert f"serves the approved model {model[:12]}" in " ".join(out.split())
    assert live(shared) == model
    shared.aws.control("slow-resource-type", name=SLOW["name"], seconds=0)
    assert shared.json("run", "--set", "epochs=4")["status"] == "done"
    assert live(shared) == model
    assert "serves the approved model" in shared("rollback", "--to", "v1", "--comment", "v3 is bad", "--yes")
    assert live(shared) != model
