"""Models as versions, and the rollback to an earlier one, through the CLI and over HTTP."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import aged
from mlops_cli.core.stages import ENDPOINT_GATE
from tests.component.aws.infra.test_deploy import kill_after
from tests.conftest import Cli, wait_for
from tests.harness.cloud import PIPELINE, Cloud, packages, shared
from tests.harness.lifecycle import approved_run, hold, reached, statuses
from tests.harness.targets import either

pytestmark = pytest.mark.slow
__all__ = ["either", "shared"]


def two_models(cli: Cli) -> tuple[dict, dict]:
    first = approved_run(cli)
    second = cli.json("run", "--set", "epochs=2")
    return first, cli.json("approve", "--run-id", second["id"], "--yes")


def live(cli: Cli) -> dict[str, Any]:
    return next(model for model in cli.json("models") if model["is_live"])


def kill_in_gate(cli: Cli, *command: str) -> None:
    """Kill the command in the gate on the endpoint: the model is already live."""
    held = hold(cli, "post-training-tests")
    reached(cli, "post-training-tests").unlink(missing_ok=True)
    with cli.start(*command) as process:
        wait_for(reached(cli, "post-training-tests").exists)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    held.unlink()


def answer_with_5xx(cloud: Cloud) -> None:
    """Let one request to the live model fail."""
    cloud.aws.control("sagemaker-pace", invocation=0)
    with pytest.raises(ClientError, match="timed out"):
        cloud.aws.client("sagemaker-runtime").invoke_endpoint(EndpointName="tiny-dev", Body=b"{}")
    cloud.aws.control("sagemaker-pace", invocation=60)


def bucket_of(cloud: Cloud) -> str:
    return next(
        bucket["Name"] for bucket in cloud.aws.client("s3").list_buckets()["Buckets"] if "storage" in bucket["Name"]
    )


def every_model_is_a_version(cli: Cli, first: dict, second: dict) -> None:
    """Check that every trained model is a version."""
    newest, oldest = cli.json("models")
    assert [(model["version"], model["run"]) for model in (newest, oldest)] == [(2, second["id"]), (1, first["id"])]
    assert newest["hyperparameters"]["epochs"] == "2"
    assert newest["metrics"]["test"]["macro"]["roc_auc"] == pytest.approx(0.8)
    assert (newest["is_live"], newest["live"][0]["until"]) == (True, None)
    assert (oldest["is_live"], oldest["live"][0]["until"]) == (False, newest["live"][0]["since"])
    assert (oldest["data_digest"], oldest["code_digest"]) == (newest["data_digest"], newest["code_digest"])
    shown = cli("models", "show", "1")
    assert oldest["digest"] in shown
    assert "approved by" in shown
    listed = cli("models")
    assert "roc_auc" in listed
    assert "0.800" in listed
    assert cli.json("models", "show", oldest["digest"][:8]) == oldest
    _, err = cli.both("models", "show", "7", code=2)
    assert err == "error: The model version '7' does not exist.\nhint: List the versions: mlops models\n"


def rolled_back_under_load(cli: Cli) -> dict[str, Any]:
    """Roll back while a client sends requests to the endpoint. No request may be lost."""
    url, answers, done = cli.json("status")["endpoint"]["url"], [], threading.Event()

    def ask() -> None:
        while not done.is_set():
            request = urllib.request.Request(
                f"{url}/invocations", b'{"instances": ["x"]}', {"Content-Type": "application/json"}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                answers.append(answer.status)

    client = threading.Thread(target=ask)
    client.start()
    try:
        back = cli.json("rollback", "--comment", "too rude", "--yes")
    finally:
        done.set()
        client.join()
    assert len(answers) > 20
    assert set(answers) == {200}
    return dict(back)


def rolled_back_after_two_kills(cloud: Cloud) -> dict[str, Any]:
    """Kill the command twice. The third one completes the rollback."""
    first, second = [run["id"] for run in reversed(cloud.json("runs"))]
    kill_after(cloud, "StartPipelineExecution", 1, "rollback", "--comment", "too rude")
    assert set(packages(cloud).values()) == {"Approved"}, "what is live is not rejected before its successor is started"
    answer_with_5xx(cloud)
    aged(cloud.aws, bucket_of(cloud), days=4000)
    kill_after(cloud, "PutApprovalResult", 1, "rollback")
    back = dict(cloud.json("rollback", "--yes"))
    assert [run["id"] for run in cloud.json("runs")] == [back["id"], second, first], "it goes on with it"
    assert packages(cloud) == {first: "Approved", second: "Rejected"}
    return back


def test_back_to_the_model_before_without_training_and_forth_again(either: Cli) -> None:
    assert "no models yet" in either("models")
    every_model_is_a_version(either, *two_models(either))
    _, err = either.both("rollback", code=2)
    assert "--yes" in err, "without a terminal the flag is named"
    assert live(either)["version"] == 2
    back = rolled_back_after_two_kills(either) if isinstance(either, Cloud) else rolled_back_under_load(either)
    assert (back["status"], statuses(back)["train"]) == ("done", "reused")
    assert (back["decision"]["kind"], back["decision"]["comment"]) == ("rollback", "too rude")
    assert back["decision"]["rollback_to"]["version"] == "v1"
    assert back["decision"]["rolled_back_from"]["version"] == "v2"
    assert back["decision"]["limits"]["metrics.split"], "the limits of the time of the rollback are on record"
    again, err = either.both("rollback", "--yes", "--json")
    assert json.loads(again)["id"] == back["id"], "it goes no further back"
    assert f"Run {back['id']} has already rolled back to v1. Another version: --to VERSION" in " ".join(err.split())
    assert live(either)["version"] == 1
    if not isinstance(either, Cloud):
        assert either.json("approve", live(either)["run"], "--yes")["status"] == "done", "its model is live again"
    assert either.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert len(either.json("models")) == 2, "nothing was trained"

    second_run = either.json("run", "--set", "epochs=2")
    assert second_run["status"] == "waiting", "what was rolled back never comes back unasked"
    assert live(either)["version"] == 1
    assert either.json("approve", "--run-id", second_run["id"], "--yes")["status"] == "done"
    assert live(either)["version"] == 2
    if not isinstance(either, Cloud):
        assert either.json("rollback", "--to", "v1", "--yes")["status"] == "done"
        assert live(either)["version"] == 1


def spoiled(cli: Cli, good: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Provide a run that waits for a decision about a model that will fail its gate: only ``good`` passes."""
    gate = cli.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\n\ndef test_it_is_the_good_model():\n    import os\n"
        + f"    assert os.environ['MLOPS_MODEL_DIGEST'] == '{good['digest']}', 'this model is no good'\n"
    )
    run = dict(cli.json("run", "--set", f"epochs={epochs}"))
    assert run["status"] == "waiting"
    return run


def test_a_model_that_fails_its_gate_is_rolled_back_by_itself_and_never_comes_back_unasked(either: Cli) -> None:
    good, before = live(either), [run["id"] for run in either.json("runs")]
    bad = spoiled(either, good, epochs=3)
    status = packages(either) if isinstance(either, Cloud) else {}
    _, err = either.both("approve", "--run-id", bad["id"], "--yes", code=3)
    assert "this model is no good" in err
    assert f"Rolled back: the endpoint serves the approved v{good['version']}" in err
    assert (live(either)["version"], len(live(either)["live"])) == (good["version"], len(good["live"]) + 1)
    assert either.json("status")["endpoint"]["is_what_was_approved"] is True
    runs = either.json("runs")
    if isinstance(either, Cloud):
        reasons = {stage["name"]: stage["reason"] for stage in runs[0]["stages"]}
        assert f"Rolling back to the approved v{good['version']}" in reasons[ENDPOINT_GATE.name]
        assert [run["id"] for run in runs] == [bad["id"], *before], "no run of its own"
        assert status[bad["id"]] == "PendingManualApproval"
        assert packages(either) == {**status, bad["id"]: "Rejected"}
    else:
        assert [run["id"] for run in runs[1:]] == [bad["id"], *before], "a rollback is a run"
        assert (runs[0]["status"], runs[0]["decision"]["actor"]["name"]) == ("done", "mlops")
        assert either.json("models")[0]["approved"] is False
    assert next(run["status"] for run in runs if run["id"] == bad["id"]) == "failed"
    second_run = either.json("run", "--set", "epochs=3")
    assert (second_run["status"], second_run["id"] != bad["id"]) == ("waiting", True)


def good_model(cloud: Cloud) -> dict[str, Any]:
    """Return the version of the approved live model, to which later tests roll back."""
    if not any(model["is_live"] for model in cloud.json("models")):
        cloud.approved()
    return live(cloud)


def test_a_run_that_is_approved_in_the_console_needs_no_follower(shared: Cloud) -> None:
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


def test_after_an_interrupted_build_of_the_gate_the_follower_rolls_back(shared: Cloud) -> None:
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


def test_a_run_that_waits_for_an_approval_continues_after_it(tiny: Cli) -> None:
    two_models(tiny)
    waiting = tiny.json("run", "--set", "epochs=3")
    tiny("rollback", "--yes")
    tiny("run", "--from", "deploy")
    assert tiny.json("status", waiting["id"])["run"]["status"] == "waiting"
    kill_in_gate(tiny, "approve", "--run-id", waiting["id"], "--yes")
    continued = tiny.json("run")
    assert (continued["id"], continued["status"]) == (waiting["id"], "done")
    assert live(tiny)["version"] == 3


def test_a_rollback_without_an_approved_target_is_an_error(tiny: Cli) -> None:
    approved_run(tiny)
    _, err = tiny.both("rollback", "--yes", code=1)
    assert "There is no earlier approved model to roll back to." in err
    waiting = tiny.json("run", "--set", "epochs=2")
    _, err = tiny.both("rollback", "--to", "2", "--yes", code=1)
    assert "v2 was never approved" in err
    assert f"mlops approve {waiting['id']}" in err
    tiny("approve", "--run-id", waiting["id"], "--reject", "--yes")
    _, err = tiny.both("rollback", "--to", "2", "--yes", code=1)
    assert "v2 was rejected by " in err
    assert "hint: List the versions: mlops models" in err
    _, err = tiny.both("rollback", "--to", "1", "--yes", code=1)
    assert "v1 is deployed already" in err
    tiny.edit("usecase.toml", "roc_auc = 0.5", "roc_auc = 0.7")
    second_run = tiny.json("run")
    tiny("approve", "--run-id", second_run["id"], "--reject", "--comment", "no more", "--yes")
    result = tiny.json("test-endpoint", code=3)
    assert result["endpoint"]["is_what_was_approved"] is False
    assert "which was rejected by" in " ".join(tiny("status").split())
    assert "no more" in tiny("doctor", code=1)


def fail_for_two_epochs(cli: Cli) -> None:
    """Let the gate on the endpoint fail for the second model only."""
    gate = cli.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\ndef test_it_is_the_first_model():\n    import os\n    digest = open('../first').read()\n"
        + "    assert os.environ['MLOPS_MODEL_DIGEST'] == digest, 'this model is no good'\n"
    )


def test_the_first_model_has_nothing_to_go_back_to(tiny: Cli) -> None:
    (tiny.folder / "first").write_text("another")
    fail_for_two_epochs(tiny)
    run_id = tiny.json("run")["id"]
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", code=3)
    assert "The endpoint continues to serve this model: there is no earlier approved one." in err


def test_a_second_rollback_deploys_its_own_version(tiny: Cli) -> None:
    two_models(tiny)
    third = tiny.json("run", "--set", "epochs=3")
    tiny("approve", "--run-id", third["id"], "--yes")
    kill_in_gate(tiny, "rollback", "--to", "2", "--yes")
    back = tiny.json("rollback", "--to", "1", "--yes")
    assert (back["status"], live(tiny)["version"]) == ("done", 1)
    newest, overtaken = tiny.json("runs")[:2]
    assert (newest["id"], overtaken["status"]) == (back["id"], "superseded")
    assert statuses(overtaken)["post-training-tests"] == "interrupted"


def test_a_rollback_that_was_killed_is_not_finished_over_a_later_approval(tiny: Cli) -> None:
    two_models(tiny)
    waiting = tiny.json("run", "--set", "epochs=3")
    kill_in_gate(tiny, "rollback", "--yes")
    tiny("approve", "--run-id", waiting["id"], "--yes")
    tiny("run", "--set", "epochs=3")
    assert live(tiny)["version"] == 3


def test_a_rollback_that_was_killed_is_finished_by_run(tiny: Cli) -> None:
    two_models(tiny)
    kill_in_gate(tiny, "rollback", "--yes")
    tiny.edit("hold.py", "0.02", "0.01")
    assert tiny.json("run")["status"] == "done", "even with other code in the folder"
    assert live(tiny)["version"] == 1
