"""Runs in MLflow: in a database, in a folder, and on a tracking server that runs, stops and runs again."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import LIMIT_SECONDS, Cli, free_port, wait_for

pytestmark = pytest.mark.slow


def logged(uri: str, experiment: str = "tiny-dev") -> list:
    """Return the MLflow runs, the newest first."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    result = client.get_experiment_by_name(experiment)
    return client.search_runs([result.experiment_id]) if result else []


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """Provide a running tracking server on this machine."""
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder}/server.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    url = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen([*command, *store], stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is None and is_up(url))
        yield url
    finally:
        process.terminate()
        process.wait(LIMIT_SECONDS)


def is_up(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/health", timeout=1).status == 200
    except OSError:
        return False


def test_a_run_is_followed_from_the_wait_to_the_end(tiny: Cli, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/own.db"
    (tiny.folder / ".env").write_text((tiny.folder / ".env").read_text() + f"MLFLOW_TRACKING_URI={uri}\n")
    out, err = tiny.both("run")
    assert f" is logged to MLflow: experiment tiny-dev at {uri}\n" in out
    assert err == "", "MLflow's own talk is not ours"
    (waiting,) = logged(uri)
    assert (waiting.info.status, waiting.info.run_name) == ("SCHEDULED", tiny.json("runs")[0]["id"])
    assert waiting.data.params["train.epochs"] == "1"
    assert waiting.data.metrics["test/long/roc_auc"] == pytest.approx(0.6)

    done = tiny.json("approve", "--run-id", waiting.info.run_name, "--comment", "fine", "--yes")
    (ended,) = logged(uri)
    model = {stage["name"]: stage["output"] for stage in done["stages"]}["train"]
    assert (ended.info.run_id, ended.info.status) == (waiting.info.run_id, "FINISHED")
    assert (ended.data.tags["mlops.decision"], ended.data.tags["mlops.decision_comment"]) == ("approved", "fine")
    assert ended.data.tags["mlops.model_digest"] == model
    assert ended.data.tags["mlops.gate.post-training-tests"] == "1 passed, 0 failed"
    tiny("run")
    assert [run.info.run_id for run in logged(uri)] == [ended.info.run_id], "the same run is one run"

    tiny("run", "--set", "epochs=2")
    tiny("run", "--set", "epochs=3")
    assert [run.info.status for run in logged(uri)] == ["SCHEDULED", "KILLED", "FINISHED"]
    assert logged(uri)[1].data.tags["mlops.status"] == "superseded"


def test_a_run_in_the_background_and_one_that_fails_are_logged_too(tiny: Cli, tmp_path: Path) -> None:
    tiny("run")
    uri = f"sqlite:///{tmp_path}/own.db"
    (tiny.folder / ".env").write_text((tiny.folder / ".env").read_text() + f"MLFLOW_TRACKING_URI={uri}\n")
    out, _ = tiny.both("run", "--set", "nonsense=1", code=2)
    assert "logged to MLflow" not in out
    assert logged(uri) == [], "a command that fails before its run begins logs no other run"
    run_id = tiny.json("run", "--set", "epochs=2", "--detach")["id"]
    background = tiny.folder / ".mlops" / "runs" / run_id / "run.log"
    wait_for(lambda: "is logged to MLflow" in background.read_text())
    assert [run.info.status for run in logged(uri)] == ["SCHEDULED"]
    script = tiny.folder / "training" / "train.py"
    script.write_text("raise SystemExit('no luck')\n")
    _, err = tiny.both("run", code=3)
    assert "no luck" in err
    assert logged(uri)[0].info.status == "FAILED"


def test_a_real_server_that_comes_and_goes(tiny: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "team")
    out = tiny("run")
    assert out.count("MLflow") == 1
    assert "is not logged to MLflow at" in out
    assert "it cannot be reached" in out
    run_id = tiny.json("runs")[0]["id"]
    with server(tmp_path, port) as url:
        out = tiny("approve", "--run-id", run_id, "--yes")
        (run,) = logged(url, "team")
        assert f": {url}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}\n" in out
        assert (run.info.run_name, run.info.status) == (run_id, "FINISHED")
        assert run.data.metrics["test/macro/roc_auc"] == pytest.approx(0.6)
    assert tiny.json("run", "--set", "epochs=2")["status"] == "waiting", "it was there and is gone: no matter"


def test_mlflows_refusal_of_a_folder_is_shown(tiny: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow accepts a folder only with a setting. mlops shows MLflow's error, and the run continues."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mlruns")
    assert "is not logged to MLflow at mlruns: The filesystem tracking backend" in tiny("run")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert "is logged to MLflow: experiment tiny-dev at mlruns" in tiny("run")
    assert logged((tiny.folder / "mlruns").as_uri())[0].info.status == "SCHEDULED"
