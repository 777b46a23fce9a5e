"""Models as versions and the way back to an earlier one, on the simulated AWS through the CLI."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import aged
from aws_simulator.fixture import aws_server
from mlops_cli.core.stages import ENDPOINT_GATE
from tests.component.aws.test_deploy import kill_after
from tests.conftest import wait_for
from tests.e2e.cloud import PIPELINE, Cloud, packages, shared, statuses

pytestmark = pytest.mark.slow
__all__ = ["aws_server", "shared"]


def answer_with_5xx(cloud: Cloud) -> None:
    """Let the live model fail one request."""
    cloud.aws.control("sagemaker-pace", invocation=0)
    with pytest.raises(ClientError, match="timed out"):
        cloud.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName="tiny-dev", Body=b"{}")
    cloud.aws.control("sagemaker-pace", invocation=60)


def bucket_of(cloud: Cloud) -> str:
    return next(
        bucket["Name"] for bucket in cloud.aws.client("s3").list_buckets()["Buckets"] if "storage" in bucket["Name"]
    )


def live(cloud: Cloud) -> dict[str, Any]:
    return next(model for model in cloud.json("models") if model["is_live"])


def test_versions_and_the_way_back(shared: Cloud) -> None:
    first = shared.approved()
    second = shared.approved("--set", "epochs=2")
    newest, oldest = shared.json("models")
    assert [(item["version"], item["run"]) for item in (newest, oldest)] == [(2, second["id"]), (1, first["id"])]
    assert (newest["is_live"], newest["hyperparameters"]["epochs"]) == (True, "2")
    assert oldest["live"][0]["until"] == newest["live"][0]["since"]

    kill_after(shared, "StartPipelineExecution", 1, "rollback", "--comment", "too rude")
    assert set(packages(shared).values()) == {"Approved"}, (
        "what is live is not rejected before its successor is started"
    )
    answer_with_5xx(shared)
    aged(shared.aws, bucket_of(shared), days=4000)
    kill_after(shared, "PutApprovalResult", 1, "rollback")
    back = shared.json("rollback", "--yes")
    assert [run["id"] for run in shared.json("runs")] == [back["id"], second["id"], first["id"]], "it goes on with it"
    assert (back["status"], back["decision"]["kind"], back["decision"]["comment"]) == ("done", "rollback", "too rude")
    assert back["decision"]["limits"]["metrics.split"], "the limits of the time of the rollback are on record"
    assert shared.json("rollback", "--yes")["id"] == back["id"], "it goes no further back"
    assert statuses(back)["train"] == "reused"
    assert live(shared)["version"] == 1
    assert shared.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert packages(shared) == {first["id"]: "Approved", second["id"]: "Rejected"}

    second_run = shared.json("run", "--set", "epochs=2")
    assert second_run["status"] == "waiting", "what was rolled back never comes back unasked"
    assert shared.json("approve", "--run-id", second_run["id"], "--yes")["status"] == "done"
    assert live(shared)["version"] == 2


def good_model(cloud: Cloud) -> dict[str, Any]:
    """The approved model that is live; later tests roll back to it. Its version is returned."""
    if not any(model["is_live"] for model in cloud.json("models")):
        cloud.approved()
    return live(cloud)


def spoiled(cloud: Cloud, good: dict[str, Any], epochs: int) -> dict[str, Any]:
    """A run with a model that waits for a decision, and will fail its gate on the endpoint: only ``good`` passes it."""
    gate = cloud.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\n\ndef test_it_is_the_good_model():\n    import os\n"
        + f"    assert os.environ['MLOPS_MODEL_DIGEST'] == '{good['digest']}', 'this model is no good'\n"
    )
    run = dict(cloud.json("run", "--set", f"epochs={epochs}"))
    assert run["status"] == "waiting"
    return run


def test_a_model_that_fails_its_gate_is_rolled_back_by_the_pipeline_and_said_by_who_follows(shared: Cloud) -> None:
    good, before = good_model(shared), [run["id"] for run in shared.json("runs")]
    bad = spoiled(shared, good, epochs=3)
    status = packages(shared)
    _, err = shared.both("approve", "--run-id", bad["id"], "--yes", code=3)
    assert "this model is no good" in err
    assert f"Rolled back: the endpoint serves the approved v{good['version']}" in err
    assert (live(shared)["version"], len(live(shared)["live"])) == (good["version"], len(good["live"]) + 1)
    result = shared.json("status", bad["id"])
    assert result["endpoint"]["is_what_was_approved"] is True
    reasons = {stage["name"]: stage["reason"] for stage in result["run"]["stages"]}
    assert f"Rolling back to the approved v{good['version']}" in reasons[ENDPOINT_GATE.name]
    runs = shared.json("runs")
    assert [run["id"] for run in runs] == [bad["id"], *before], "no run of its own"
    assert runs[0]["status"] == "failed"
    assert status[bad["id"]] == "PendingManualApproval"
    assert packages(shared) == {**status, bad["id"]: "Rejected"}
    second_run = shared.json("run", "--set", "epochs=3")
    assert (second_run["status"], second_run["id"] != bad["id"]) == ("waiting", True), "it never comes back unasked"


def test_nobody_needs_to_follow_a_run_that_is_approved_in_the_console(shared: Cloud) -> None:
    good = good_model(shared)
    bad = spoiled(shared, good, epochs=4)
    runs = len(shared.json("runs"))
    shared.decide_in_the_console("Approved", "fine with me")
    pipelines = shared.aws.client("codepipeline")

    def status() -> str:
        request = {"pipelineName": PIPELINE, "pipelineExecutionId": bad["id"]}
        return str(pipelines.get_pipeline_execution(**request)["pipelineExecution"]["status"])

    wait_for(lambda: status() == "Failed")
    assert live(shared)["version"] == good["version"]
    assert shared.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    output = shared("status", bad["id"], "--follow", code=3)
    assert f"Rolling back to the approved v{good['version']}" in output
    assert len(shared.json("runs")) == runs

    request = {"pipelineName": PIPELINE, "stageName": ENDPOINT_GATE.name, "pipelineExecutionId": bad["id"]}
    pipelines.retry_stage_execution(**request, retryMode="ALL_ACTIONS")
    wait_for(lambda: status() == "InProgress")
    wait_for(lambda: status() == "Failed")
    assert live(shared)["version"] == good["version"], "what has been given up stays so, whoever tries its stage again"


def test_a_gate_whose_build_breaks_off_leaves_the_way_back_to_who_follows(shared: Cloud) -> None:
    good = good_model(shared)
    trouble = shared.folder.parent / "trouble"
    trouble.touch()
    spec = shared.folder / "templates" / "buildspec.yml"
    once = f"      - if [ $MLOPS_STAGE_NAME = {ENDPOINT_GATE.name} ] && rm {trouble} 2>/dev/null; then exit 1; fi\n"
    build = "  build:\n    commands:\n"
    spec.write_text(spec.read_text().replace(build, build + once))
    bad = shared.json("run", "--set", "epochs=5")
    _, err = shared.both("approve", "--run-id", bad["id"], "--yes", code=3)
    assert not trouble.exists()
    assert f"Rolled back: the endpoint serves the approved v{good['version']}" in err
    assert live(shared)["version"] == good["version"]
    newest, failed = shared.json("runs")[:2]
    assert (newest["status"], failed["id"], failed["status"]) == ("done", bad["id"], "failed")
    (seen,) = json.loads((shared.folder / ".mlops" / "seen.json").read_text()).values()
    states = {row[0]: row[1:3] for row in seen["versions"]}
    version = next(model["version"] for model in shared.json("models") if model["run"] == bad["id"])
    assert (states[f"v{version}"], states[f"v{good['version']}"]) == (["rejected", False], ["approved", True])
    assert [row[0] for row in seen["runs"]][:2] == [newest["id"], bad["id"]]
