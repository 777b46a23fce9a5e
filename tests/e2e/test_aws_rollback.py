"""Models as versions and the way back to an earlier one, on the simulated AWS through the CLI."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlops_cli.registry import LAST_GATE
from tests.aws_simulator.fixture import aws, aws_server
from tests.backends.aws.test_provision import kill_after
from tests.conftest import wait_for
from tests.e2e.cloud import PIPELINE, Cloud, cloud, project, statuses

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "cloud", "project"]


def live(cloud: Cloud) -> dict[str, Any]:
    return next(model for model in cloud.json("models") if model["is_live"])


def packages(cloud: Cloud) -> dict[str, str]:
    """How the packages stand, by the run that asked about them."""
    sagemaker = cloud.aws.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="tiny-dev")["ModelPackageSummaryList"]
    found = [sagemaker.describe_model_package(ModelPackageName=one["ModelPackageArn"]) for one in listed]
    return {one["CustomerMetadataProperties"]["run"]: one["ModelApprovalStatus"] for one in found}


def test_versions_and_the_way_back(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    second = cloud.approved("--set", "epochs=2")
    newest, oldest = cloud.json("models")
    assert [(one["version"], one["run"]) for one in (newest, oldest)] == [(2, second["id"]), (1, first["id"])]
    assert (newest["is_live"], newest["hyperparameters"]["epochs"]) == (True, "2")
    assert oldest["live"][0]["until"] == newest["live"][0]["since"]

    kill_after(cloud, "StartPipelineExecution", 1, "rollback", "--comment", "too rude")
    assert set(packages(cloud).values()) == {"Approved"}, "what is live is not rejected before its successor is started"
    back = cloud.json("rollback", "--to", "v1", "--comment", "too rude", "--yes")
    assert [one["id"] for one in cloud.json("runs")] == [back["id"], second["id"], first["id"]], "it goes on with it"
    assert (back["status"], back["decision"]["kind"], back["decision"]["comment"]) == ("done", "rollback", "too rude")
    assert statuses(back)["train"] == "reused"
    assert live(cloud)["version"] == 1
    assert cloud.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert packages(cloud) == {first["id"]: "Approved", second["id"]: "Rejected"}

    again = cloud.json("run", "--set", "epochs=2")
    assert again["status"] == "waiting", "what was rolled back never comes back unasked"
    assert cloud.json("approve", "--run-id", again["id"], "--yes")["status"] == "done"
    assert live(cloud)["version"] == 2


def spoiled(cloud: Cloud, digest: str) -> dict[str, Any]:
    """A run whose model waits for a decision, and will fail its gate on the endpoint: only ``digest`` passes it."""
    gate = cloud.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\n\ndef test_it_is_the_first_model():\n    import os\n"
        + f"    assert os.environ['MLOPS_MODEL_DIGEST'] == '{digest}', 'this model is no good'\n"
    )
    return dict(cloud.json("run", "--set", "epochs=2"))


def test_a_model_that_fails_its_gate_is_rolled_back_by_the_pipeline_and_said_by_who_follows(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    good = live(cloud)
    second = spoiled(cloud, good["digest"])
    _, err = cloud.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert "this model is no good" in err
    assert "Rolled back: the endpoint serves the approved v1" in err
    assert (live(cloud)["run"], len(live(cloud)["live"])) == (first["id"], 2)
    found = cloud.json("status", second["id"])
    assert found["endpoint"]["is_what_was_approved"] is True
    assert "Going back to the approved v1" in {one["name"]: one["reason"] for one in found["run"]["stages"]}[LAST_GATE]
    assert [one["status"] for one in cloud.json("runs")] == ["failed", "done"], "no run of its own"
    assert packages(cloud) == {first["id"]: "Approved", second["id"]: "Rejected"}
    again = cloud.json("run", "--set", "epochs=2")
    assert (again["status"], again["id"] != second["id"]) == ("waiting", True), "it never comes back unasked"


def test_nobody_needs_to_follow_a_run_that_is_approved_in_the_console(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    second = spoiled(cloud, live(cloud)["digest"])
    cloud.said_in_the_console("Approved", "fine with me")
    pipelines = cloud.aws.client("codepipeline")

    def status() -> str:
        wanted = {"pipelineName": PIPELINE, "pipelineExecutionId": second["id"]}
        return str(pipelines.get_pipeline_execution(**wanted)["pipelineExecution"]["status"])

    wait_for(lambda: status() == "Failed", 180)
    assert live(cloud)["run"] == first["id"]
    assert cloud.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert "Going back to the approved v1" in cloud("status", second["id"], "--follow", code=3)
    assert len(cloud.json("runs")) == 2

    wanted = {"pipelineName": PIPELINE, "stageName": LAST_GATE, "pipelineExecutionId": second["id"]}
    pipelines.retry_stage_execution(**wanted, retryMode="ALL_ACTIONS")
    wait_for(lambda: status() == "InProgress", 20)
    wait_for(lambda: status() == "Failed", 180)
    assert live(cloud)["run"] == first["id"], "what has been given up stays so, whoever tries its stage again"


def test_a_gate_whose_build_breaks_off_leaves_the_way_back_to_who_follows(cloud: Cloud) -> None:
    first = cloud.ready().approved()
    trouble = cloud.folder.parent / "trouble"
    trouble.touch()
    spec = cloud.folder / "templates" / "buildspec.yml"
    once = f"      - if [ $MLOPS_STAGE_NAME = {LAST_GATE} ] && rm {trouble} 2>/dev/null; then exit 1; fi\n"
    build = "  build:\n    commands:\n"
    spec.write_text(spec.read_text().replace(build, build + once))
    second = cloud.json("run", "--set", "epochs=2")
    _, err = cloud.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert not trouble.exists()
    assert "Rolled back: the endpoint serves the approved v1" in err
    assert live(cloud)["run"] == first["id"]
    newest, failed = cloud.json("runs")[:2]
    assert (newest["status"], failed["id"], failed["status"]) == ("done", second["id"], "failed")
    (seen,) = json.loads((cloud.folder / ".mlops" / "seen.json").read_text()).values()
    assert [row[:3] for row in seen["versions"]] == [["v2", "rejected", False], ["v1", "approved", True]]
    assert [row[0] for row in seen["runs"]] == [newest["id"], second["id"], first["id"]]
