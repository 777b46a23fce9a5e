"""Requests like the training data, and other ones, through the CLI and HTTP: texts, a table, and no measurements."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import ROOT, USE_CASES, Cli, wait_for
from tests.e2e.test_own_usecase import FLAT, edit, examined, project, texts_about_rents
from tests.e2e.test_tracking import logged

pytestmark = pytest.mark.slow
SECRET = "a sentence about quizzaciously xylographed marmalade"
ON = "[endpoint]\nsample = 1"


@pytest.fixture
def rent(tmp_path: Path) -> Iterator[Cli]:
    yield from project(tmp_path / "rent", USE_CASES / "rent")


@pytest.fixture
def churn(tmp_path: Path) -> Iterator[Cli]:
    yield from project(tmp_path / "churn", framework="sklearn")


@pytest.fixture
def comments(tmp_path: Path) -> Iterator[Cli]:
    """Provide the comments' project. Its gate accepts a model of little training."""
    Cli(tmp_path)("init", "comments")
    cli = Cli(tmp_path / "comments", {"ENDPOINT_PORT": "0"})
    cli.accept_slow_answers()
    edit(cli, "training/usecase.toml", "[endpoint]\n# The share", "[endpoint]\n#")
    edit(cli, "training/usecase.toml", "sample = 0\n", "sample = 1\n")
    edit(cli, "training/usecase.toml", "positive_above = 0.5", "positive_above = 0.05")
    yield cli
    cli("cleanup", "--yes")


def over_http(cli: Cli) -> Callable[[list[Any]], None]:
    """Sends requests to the local endpoint, as any client would."""
    url = f"{cli.json('status')['endpoint']['url']}/invocations"

    def send(instances: list[Any]) -> None:
        body = json.dumps({"instances": instances}).encode()
        with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "application/json"})) as answer:
            assert answer.status == 200

    return send


def flats(count: int, seed: int) -> list[dict[str, Any]]:
    """Return flats of the same kind that were not in the training."""
    script = (USE_CASES / "rent" / "make_data.py").read_text().replace("Random(11)", f"Random({seed})")
    rows = subprocess.run([sys.executable, "-c", script, str(count)], stdout=subprocess.PIPE, text=True, check=True)
    table = csv.DictReader(io.StringIO(rows.stdout))
    numbers = ("area", "rooms", "built")
    return [
        {"district": row["district"], **{name: float(row[name] or 1956) for name in numbers}} for row in table
    ]  # fmt: skip


def newer(flat: dict[str, Any]) -> dict[str, Any]:
    return {**flat, "built": 2010 + random.Random(flat["area"]).randrange(14)}


def drift_when(cli: Cli, requests: int, *arguments: str) -> dict[str, Any]:
    """Return the result as soon as this number of requests is counted. The endpoint reports every few seconds."""
    result = wait_for(lambda: (known := cli.json("drift", *arguments))["requests"] >= requests and known)
    assert result["requests"] == requests
    return dict(result)


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {measure["name"]: measure["status"] for measure in result["measures"]}


def test_regression_from_init_to_cleanup_and_its_drift(rent: Cli) -> None:
    texts_about_rents(rent("quickstart", "--yes"))
    findings = examined(rent, FLAT)
    ((shown, predicted),) = findings["probe"]["rows"]
    assert shown == "district hill, area 50, rooms 2, built 1960"
    assert 300 < predicted["rent"] < 1500
    assert findings["gate"] == {"passed": 2, "failed": 0, "failures": [], "unfinished": ""}
    assert findings["endpoint"]["is_what_was_approved"] is True
    assert rent.json("run")["changed"] is False

    error = rent.json("drift", code=2)["error"]
    assert "Sampling is off" in error["message"]
    assert "sample = 0.1 under [endpoint]" in error["hint"]
    model = rent.json("status")["endpoint"]["live_digest"]

    edit(rent, "training/usecase.toml", "[endpoint]", ON)
    assert "does not measure its requests yet" in rent.json("drift", code=1)["error"]["message"]
    run = rent.json("run")
    assert {stage["name"]: stage["status"] for stage in run["stages"]}["train"] == "reused"
    assert rent.json("status")["endpoint"]["live_digest"] == model, "the same model, deployed once more"
    rent("test-endpoint")
    findings = rent.json("drift")
    assert (findings["status"], findings["requests"]) == ("too few requests", 0), (
        "neither the gate nor the probe is traffic"
    )

    send = over_http(rent)
    for flat in flats(600, seed=12):
        send([flat])
    findings = drift_when(rent, 600)
    assert findings["status"] == "no drift", findings
    assert set(statuses(findings)) == {"area", "rooms", "built", "rent"}
    assert (findings["model"], findings["sample"]) == (model, 1)
    assert "result: no drift: the requests are similar to the test rows of the training" in rent("drift", "--fail")

    for flat in flats(300, seed=13):
        send([newer(flat)])
    findings = drift_when(rent, 900, "--days", "1")
    assert (findings["status"], statuses(findings)["built"], statuses(findings)["rooms"]) == (
        "retrain",
        "retrain",
        "no drift",
    )
    out = rent("drift", "--fail", code=3)
    assert "the requests differ from the test rows of the training: built" in out
    assert "mlops run" in out

    first, out = rent.json("runs")[-1], rent("run", "--set", "seed=2")
    assert f"of run {first['id']}" in out, "the live model is named beside the new one"
    run = rent.json("runs")[0]
    evidence = rent.json("approve", "--run-id", run["id"], "--yes", "--comment", "new")["evidence"]
    assert evidence["lower_is_better"] is True
    assert evidence["maximum"]["rent"] == {"rmse": 130.0, "mae": 100.0}
    assert evidence["live_metrics"]["rent"]["rmse"] != evidence["metrics"]["rent"]["rmse"]
    assert rent.json("status")["endpoint"]["live_digest"] == evidence["model_digest"] != model
    assert rent.json("drift")["requests"] == 0, "another model starts afresh"

    edit(rent, "training/usecase.toml", ON, "[endpoint]")
    rent("run")
    assert "Sampling is off" in rent.json("drift", code=2)["error"]["message"]


def test_a_model_that_measures_nothing_gets_no_status(churn: Cli) -> None:
    edit(churn, "training/usecase.toml", "[endpoint]", ON)
    churn("deploy-infra")
    assert "There is no endpoint churn-dev yet" in churn.json("drift", code=1)["error"]["message"]
    churn("quickstart", "--yes")
    error = churn.json("drift", code=1)["error"]
    assert "has nothing to measure: its training wrote no observed.json" in error["message"]
    explained = Path(re.search(r"the head of (\S+) explains", error["hint"])[1]).read_text()
    assert "write_reference(" in explained and "Observer(" in explained


def test_comments(comments: Cli) -> None:
    comments("download-data", "--source", "sample", "--rows", "6000")
    run = comments.json("run", "--set", "epochs=1")
    assert run["status"] == "waiting", "all that its scripts and gates import came along with `init`"
    comments("approve", "--run-id", run["id"], "--yes", "--comment", "to look at its requests")
    send = over_http(comments)
    fresh = unseen(700, comments.folder.parent)
    for text in fresh:
        send([text])
    drift = drift_when(comments, 700)
    assert drift["status"] == "no drift", drift
    assert {"characters", "words", "unknown words", "score toxic"} <= set(statuses(drift))

    for text in fresh[:300]:
        send([" ".join(word[::-1] + "zq" for word in text.split()[:6]) + SECRET])
    drift = drift_when(comments, 1000)
    assert drift["status"] == "retrain"
    assert statuses(drift)["unknown words"] == statuses(drift)["words"] == "retrain"
    kept = [path for path in (comments.folder / ".mlops").rglob("*") if path.is_file()]
    assert [path for path in kept if b"quizzaciously" in path.read_bytes()] == []


def unseen(count: int, folder: Path) -> list[str]:
    """Return comments of the same kind after those of the training."""
    options = ["--output-dir", str(folder), "--rows", str(6000 + count), "--seed", "42"]
    subprocess.run([sys.executable, "-m", "sample.generate", *options], cwd=ROOT / "training", check=True)
    with (folder / "comments.csv").open(newline="", encoding="utf-8") as rows:
        return [row["comment_text"] for row in csv.DictReader(rows)][6000:]


def test_on_aws(tmp_path: Path, aws: Aws) -> None:
    """The commands and texts are the same, also in MLflow.

    The counts are lines in the endpoint's log, written with the model's role.
    """
    local = project(tmp_path / "rent", USE_CASES / "rent")
    folder = next(local).folder
    shutil.copytree(ROOT / "templates", folder / "templates")
    rent = Cli(folder, {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    rent("deploy-infra", "--yes")
    tracking = f"sqlite:///{tmp_path}/mlflow.db"
    with_tracking = Cli(rent.folder, {**rent.environment, "MLFLOW_TRACKING_URI": tracking})
    texts_about_rents(with_tracking("quickstart", "--yes"))
    findings = examined(rent, FLAT)
    assert findings["endpoint"]["is_what_was_approved"] is True
    assert findings["gate"] == {"passed": 2, "failed": 0, "failures": [], "unfinished": ""}
    (run,) = logged(tracking, "rent-dev")
    assert (run.info.status, run.data.tags["mlops.target"]) == ("FINISHED", "aws")
    assert run.data.params["train.bootstraps"] == "60"
    assert run.data.metrics["test/rent/rmse"] < 130
    assert run.data.tags["mlops.model_digest"] == findings["endpoint"]["live_digest"]
    assert run.data.tags["mlops.gate.post-training-tests"] == "2 passed, 0 failed"
    assert run.data.tags["mlops.decision"] == "approved"

    assert "Sampling is off" in rent.json("drift", code=2)["error"]["message"]
    edit(rent, "training/usecase.toml", "[endpoint]", ON)
    assert "does not measure its requests yet" in rent.json("drift", code=1)["error"]["message"]
    run = rent.json("run")
    assert {stage["name"]: stage["status"] for stage in run["stages"]}["train"] == "reused"
    rent("test-endpoint")
    assert rent.json("drift")["requests"] == 0, "neither the gate nor the probe is traffic"

    runtime = aws.client("sagemaker-runtime")

    def send(flat: dict[str, Any]) -> None:
        body = json.dumps({"instances": [flat]})
        runtime.invoke_endpoint(EndpointName="rent-dev", Body=body, ContentType="application/json")

    for flat in flats(600, seed=12):
        send(flat)
    findings = drift_when(rent, 600)
    assert findings["status"] == "no drift", findings
    assert set(statuses(findings)) == {"area", "rooms", "built", "rent"}
    for flat in flats(300, seed=13):
        send(newer(flat))
    findings = drift_when(rent, 900)
    assert (findings["status"], statuses(findings)["built"], statuses(findings)["rooms"]) == (
        "retrain",
        "retrain",
        "no drift",
    )
    assert "the requests differ from the test rows of the training: built" in rent("drift", "--fail", code=3)
    events = aws.client("logs").filter_log_events(logGroupName="/aws/sagemaker/Endpoints/rent-dev")["events"]
    assert [event for event in events if "harbour" in event["message"]] == []
    assert "verified: no resources created by mlops remain" in rent("cleanup", "--yes")
    assert aws.denials() == []
    local.close()
