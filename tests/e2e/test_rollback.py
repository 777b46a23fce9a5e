"""Models as versions, and the way back to an earlier one, through the CLI and over HTTP."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from typing import Any

import pytest

from tests.conftest import Cli, wait_for
from tests.e2e.test_local_lifecycle import approved_run, edit, hold, reached, statuses

pytestmark = pytest.mark.slow


def two_models(cli: Cli) -> tuple[dict, dict]:
    first = approved_run(cli)
    second = cli.json("run", "--set", "epochs=2")
    return first, cli.json("approve", "--run-id", second["id"], "--yes")


def live(cli: Cli) -> dict[str, Any]:
    return next(model for model in cli.json("models") if model["is_live"])


def kill_in_gate(cli: Cli, *command: str) -> None:
    """The model is live already when the command is killed."""
    held = hold(cli, "post-training-tests")
    reached(cli, "post-training-tests").unlink(missing_ok=True)
    with cli.start(*command) as process:
        wait_for(reached(cli, "post-training-tests").exists)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    held.unlink()


def versions_are_told(tiny: Cli, first: dict, second: dict) -> None:
    """Every trained model is a version."""
    newest, oldest = tiny.json("models")
    assert [(model["version"], model["run"]) for model in (newest, oldest)] == [(2, second["id"]), (1, first["id"])]
    assert newest["hyperparameters"] == {"epochs": "2"}
    assert newest["metrics"]["test"]["macro"]["roc_auc"] == pytest.approx(0.8)
    assert (newest["is_live"], newest["live"][0]["until"]) == (True, None)
    assert (oldest["is_live"], oldest["live"][0]["until"]) == (False, newest["live"][0]["since"])
    assert (oldest["data_digest"], oldest["code_digest"]) == (newest["data_digest"], newest["code_digest"])
    shown = tiny("models", "show", "1")
    assert oldest["digest"] in shown
    assert "approved by" in shown
    assert tiny.json("models", "show", oldest["digest"][:8]) == oldest
    _, err = tiny.both("models", "show", "7", code=2)
    assert err == "error: The model version '7' does not exist.\nhint: List the versions: mlops models\n"


def go_back(cli: Cli) -> dict[str, Any]:
    """A rollback while a client asks the endpoint, of whose requests none is lost."""
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


def test_back_to_the_model_before_without_training_and_forth_again(tiny: Cli) -> None:
    assert "no models yet" in tiny("models")
    versions_are_told(tiny, *two_models(tiny))
    _, err = tiny.both("rollback", code=2)
    assert "--yes" in err, "without a terminal the flag is named"
    assert live(tiny)["version"] == 2
    back = go_back(tiny)
    assert back["status"] == "done"
    assert statuses(back)["train"] == "reused"
    assert (back["decision"]["kind"], back["decision"]["comment"]) == ("rollback", "too rude")
    assert back["decision"]["rollback_to"]["version"] == "v1"
    assert back["decision"]["rolled_back_from"]["version"] == "v2"
    assert live(tiny)["version"] == 1
    assert tiny.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True
    assert len(tiny.json("models")) == 2, "nothing was trained"

    second_run = tiny.json("run", "--set", "epochs=2")
    assert second_run["status"] == "waiting", "what was rolled back never comes back unasked"
    assert live(tiny)["version"] == 1
    tiny("approve", "--run-id", second_run["id"], "--yes")
    assert live(tiny)["version"] == 2
    assert tiny.json("rollback", "--to", "v1", "--yes")["status"] == "done"
    assert live(tiny)["version"] == 1


def test_what_waits_for_an_approval_waits_on_and_continues_when_it_was_approved(tiny: Cli) -> None:
    two_models(tiny)
    waiting = tiny.json("run", "--set", "epochs=3")
    tiny("rollback", "--yes")
    tiny("run", "--from", "deploy")
    assert tiny.json("status", waiting["id"])["run"]["status"] == "waiting"
    kill_in_gate(tiny, "approve", "--run-id", waiting["id"], "--yes")
    continued = tiny.json("run")
    assert (continued["id"], continued["status"]) == (waiting["id"], "done")
    assert live(tiny)["version"] == 3


def test_where_there_is_no_way_back_it_says_so(tiny: Cli) -> None:
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
    edit(tiny, "usecase.toml", "roc_auc = 0.5", "roc_auc = 0.7")
    second_run = tiny.json("run")
    tiny("approve", "--run-id", second_run["id"], "--reject", "--comment", "no more", "--yes")
    result = tiny.json("test-endpoint", code=3)
    assert result["endpoint"]["is_what_was_approved"] is False
    assert "which was rejected by" in " ".join(tiny("status").split())
    assert "no more" in tiny("doctor", code=1)


def fail_for_two_epochs(cli: Cli) -> None:
    """The gate on the endpoint fails for the second model only."""
    gate = cli.folder / "training" / "tests" / "test_posttraining.py"
    gate.write_text(
        gate.read_text()
        + "\ndef test_it_is_the_first_model():\n    import os\n    digest = open('../first').read()\n"
        + "    assert os.environ['MLOPS_MODEL_DIGEST'] == digest, 'this model is no good'\n"
    )


def test_a_model_that_fails_its_gate_is_rolled_back_by_itself(tiny: Cli) -> None:
    first = approved_run(tiny)
    (tiny.folder / "first").write_text(live(tiny)["digest"])
    fail_for_two_epochs(tiny)
    second = tiny.json("run", "--set", "epochs=2")
    _, err = tiny.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert "this model is no good" in err
    assert "Rolled back: the endpoint serves the approved v1" in err
    assert live(tiny)["version"] == 1
    newest, failed = tiny.json("runs")[:2]
    assert (newest["status"], failed["status"], failed["id"]) == ("done", "failed", second["id"])
    assert (newest["decision"]["actor"]["name"], first["status"]) == ("mlops", "done")
    assert tiny.json("models")[0]["approved"] is False


def test_the_first_model_has_nothing_to_go_back_to(tiny: Cli) -> None:
    (tiny.folder / "first").write_text("another")
    fail_for_two_epochs(tiny)
    run_id = tiny.json("run")["id"]
    _, err = tiny.both("approve", "--run-id", run_id, "--yes", code=3)
    assert "The endpoint continues to serve this model: there is no earlier approved one." in err


def test_a_second_rollback_deploys_what_was_asked_for_now(tiny: Cli) -> None:
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
    edit(tiny, "hold.py", "0.02", "0.01")
    assert tiny.json("run")["status"] == "done", "even with other code in the folder"
    assert live(tiny)["version"] == 1
