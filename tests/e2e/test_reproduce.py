"""A run made again through the CLI."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from tests.conftest import Cli, wait_for
from tests.e2e.test_local_lifecycle import approved_run, edit, hold, reached

pytestmark = pytest.mark.slow


def test_a_run_made_again_is_the_same_or_what_differs_is_named(tiny: Cli) -> None:
    run = approved_run(tiny)
    before = tiny.json("runs")
    found = tiny.json("reproduce", run["id"][:4])
    assert (found["same"], found["run_id"], found["metrics"]) == (True, run["id"], [])
    assert f"run {run['id']}: same" in tiny("reproduce")
    assert tiny.json("runs") == before, "it is no run of its own"
    assert tiny.json("run")["changed"] is False, "and it has touched nothing"
    assert not (tiny.folder / ".mlops" / "reproduction").exists()

    edit(tiny, "train.py", "0.4 + 0.2", "0.3 + 0.2")
    edit(tiny, "train.py", "str(arguments.epochs)", "'other'")
    out = tiny("reproduce", run["id"], code=3)
    assert "preprocess: same output" in out
    assert "  training/train.py: " in out
    assert "metric test macro roc_auc: 0.6 → 0.5" in out
    assert f"run {run['id']}: DIFFERENT" in out
    assert tiny.json("test-endpoint")["endpoint"]["is_what_was_approved"] is True


def test_what_was_never_trained_cannot_be_made_again_and_a_manifest_tells_where_a_run_was_made(tiny: Cli) -> None:
    edit(tiny, "tests/test_pretraining.py", ">= 3", ">= 300")
    tiny.both("run", code=3)
    _, err = tiny.both("reproduce", code=1)
    assert "has no trained model to reproduce" in err
    edit(tiny, "tests/test_pretraining.py", ">= 300", ">= 3")
    run = tiny.json("run")
    found = tiny.json("status", run["id"])["manifest"]
    assert found["machine"]["cpus"] >= 1
    assert found["git"] is None
    assert set(found["stages"]) >= {"preprocess", "train"}
    assert "package" not in found["stages"]["train"]["output"]


def test_the_manifest_names_the_commit_that_the_model_was_made_at(tiny: Cli) -> None:
    def commit(name: str) -> str:
        git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
        subprocess.run([*git, "add", "training"], cwd=tiny.folder, check=True)
        subprocess.run([*git, "commit", "-q", "-m", name], cwd=tiny.folder, check=True)
        return subprocess.check_output([*git, "rev-parse", "HEAD"], cwd=tiny.folder, text=True).strip()

    subprocess.run(["git", "init", "-q"], cwd=tiny.folder, check=True)
    edit(tiny, "train.py", "model = Path", "raise SystemExit('no luck')\nmodel = Path")
    edit(tiny, "tests/test_posttraining.py", "[3.0, 5.0]", "[3.0, 5.1]")
    commit("neither trains nor passes")
    tiny("run", code=3)
    edit(tiny, "train.py", "raise SystemExit('no luck')\n", "")
    trains = commit("trains")
    run_id = tiny.json("run")["id"]
    assert tiny.json("status", run_id)["manifest"]["git"]["commit"] == trains
    tiny("approve", "--run-id", run_id, "--yes", code=3)
    edit(tiny, "tests/test_posttraining.py", "[3.0, 5.1]", "[3.0, 5.0]")
    commit("passes")
    assert tiny.json("run")["id"] == run_id
    assert tiny.json("status", run_id)["manifest"]["git"]["commit"] == trains


def test_a_killed_reproduction_leaves_nothing_that_stays(tiny: Cli) -> None:
    run = approved_run(tiny)
    held = hold(tiny, "train")
    reached(tiny, "train").unlink(missing_ok=True)
    with tiny.start("reproduce", run["id"]) as process:
        wait_for(reached(tiny, "train").exists)
        _, err = tiny.both("run", code=1)
        assert f"hint: Wait until it has ended, and try again. Or end it: kill {process.pid}" in err
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    reached(tiny, "train").unlink()
    with tiny.start("reproduce", run["id"]) as process:
        wait_for(reached(tiny, "train").exists)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert f"hint: Start again: mlops reproduce {run['id']}" in err
    held.unlink()
    assert tiny.json("status")["run"]["status"] == "done"
    assert tiny.json("reproduce", run["id"])["same"] is True
    assert "verified: no resources created by mlops remain" in tiny("cleanup", "--yes")
