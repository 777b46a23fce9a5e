"""The comparison of champion and challenger, and the report, through the CLI.

The use case has stages that take no time.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import LIMIT_SECONDS, Cli, wait_for
from tests.harness.cloud import Cloud, shared
from tests.harness.judging import PREDICTIONS, first_rows, later_rows, write_rows
from tests.harness.targets import either

pytestmark = pytest.mark.slow
__all__ = ["either", "shared"]


def get_data(cli: Cli, rows: list[str]) -> None:
    write_rows(cli.folder / "rows.csv", *rows)
    cli("download-data", "--source", "rows.csv")


@pytest.fixture
def judged(tiny: Cli) -> Cli:
    """Provide the tiny use case with predictions and 200 test rows."""
    script = tiny.folder / "training" / "train.py"
    script.write_text(script.read_text() + PREDICTIONS)
    get_data(tiny, first_rows())
    return tiny


def approve(cli: Cli, *overrides: str) -> Any:
    return cli.json("approve", "--run-id", cli.json("run", *overrides)["id"], "--yes")


def report_of(cli: Cli, *arguments: str) -> str:
    """Return the page at the address that the command prints."""
    with urllib.request.urlopen(cli.json("report", *arguments)["report"]) as answer:
        return str(answer.read().decode())


def demand_better(cli: Cli) -> None:
    path = cli.folder / "training" / "usecase.toml"
    path.write_text(path.read_text().replace('primary = "roc_auc"', 'primary = "roc_auc"\nmust_beat_live = true'))


def test_a_report_without_predictions_has_a_note_and_a_rejected_run_keeps_it(either: Cli) -> None:
    run = either.json("run")
    assert "the training wrote no predictions.json" in report_of(either, run["id"])
    assert either.json("run")["status"] == "waiting"
    either("approve", "--run-id", run["id"], "--reject", "--comment", "too rude", "--yes")
    assert re.search("This run was <b>REJECTED</b> by .+: too rude<", report_of(either, run["id"]))


def test_every_run_that_waits_has_a_report(judged: Cli, tmp_path: Path) -> None:
    gate = judged.folder / "training" / "tests" / "test_pretraining.py"
    gate.write_text(gate.read_text().replace(">= 3", ">= 3000"))
    judged.both("run", code=3)
    _, err = judged.both("report", code=1)
    assert "has no model to report on yet.\nhint: Continue it: mlops run" in err
    gate.write_text(gate.read_text().replace(">= 3000", ">= 3"))

    out = judged("run")
    run_id = judged.json("runs")[0]["id"]
    path = f".mlops/runs/{run_id}/report.html"
    assert ["report", path] in [line.split() for line in out.splitlines()]
    html = (judged.folder / path).read_text("utf-8")
    assert f"mlops approve {run_id}" in html
    assert "it would be the first model to go live" in html
    assert judged("report", run_id[:4]) == (
        f"report of run {run_id}: {(judged.folder / path).as_uri()}\nnext: mlops approve {run_id}\n"
    )
    the_browser_gets_the_page(judged, tmp_path)


def the_browser_gets_the_page(judged: Cli, tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}\n')
    browser.chmod(0o755)
    with judged.start("report", "--open", "--json", env={**os.environ, "BROWSER": str(browser)}) as process:
        output = json.loads(process.communicate(timeout=LIMIT_SECONDS)[0])
    assert output["opened"] is True
    assert opened.read_text() == output["report"]
    with judged.start("report", "--open", env={"PATH": "/nonexistent", "HOME": str(tmp_path)}) as process:
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, "No browser was found on this machine." in err) == (1, True)


def test_a_better_model_is_better_in_the_report_and_a_decided_runs_report_is_unchanged(judged: Cli) -> None:
    first = judged.json("run")["id"]
    judged("approve", "--run-id", first, "--yes", "--comment", "a good start")
    before = report_of(judged, first)
    assert "a good start" in before
    assert "it would be the first model to go live" in before
    assert "This model went <b>live</b> on" in before

    out = judged("run", "--set", "epochs=4")
    assert "▲ better" in out
    assert "against live  better: long roc_auc" in out
    assert "compared      all 200 test rows" in out
    second = judged.json("runs")[0]["id"]
    what_a_killed_command_left_half_written_is_made_again(judged, second)
    comparison = judged.json("approve", "--run-id", second, "--yes")["evidence"]["comparison"]
    assert (comparison["result"], comparison["rows"], comparison["requested"], comparison["trained_on"]) == (
        "better",
        200,
        0,
        0,
    )
    difference = comparison["differences"]["long"]
    assert 0 < difference["low"] < difference["difference"] < difference["high"]
    assert list((judged.folder / ".mlops" / "runs" / second).glob("*.partial")) == []
    assert report_of(judged, first) == before

    (judged.folder / ".mlops" / "runs" / second / "report.html").unlink()
    assert "this model is live now" in report_of(judged, second), "one that was lost is made again"
    own_metric_counts(judged)


def own_metric_counts(judged: Cli) -> None:
    path = judged.folder / "training" / "usecase.toml"
    limits = 'primary = "cost"\ndirection = "lower"\nmust_beat_live = true\n[metrics.maximum.long]\ncost = 0.01\n'
    path.write_text(path.read_text().replace('primary = "roc_auc"', limits))
    run_id = judged.json("run", "--set", "epochs=2")["id"]
    _, err = judged.both("approve", "--run-id", run_id, "--yes", code=2)
    assert "long: cost 0." in err
    assert "is over 0.01" in err
    assert "must_beat_live: WORSE: long cost 0." in err

    path.write_text(path.read_text().replace("cost", "p90"))
    run = judged.json("run", "--set", "epochs=2")
    assert {stage["name"]: stage["status"] for stage in run["stages"]}["train"] == "reused"
    _, err = judged.both("approve", "--run-id", run["id"], "--yes", code=2)
    assert "long: p90 0." in err
    assert "must_beat_live: WORSE: long p90 0." in err


def what_a_killed_command_left_half_written_is_made_again(judged: Cli, run_id: str) -> None:
    folder = judged.folder / ".mlops" / "runs" / run_id
    for name in ("comparison.json", "environment.json"):
        assert json.loads((folder / name).read_text())
        (folder / name).write_text("")
    assert judged.json("status", run_id)["manifest"]["run"] == run_id
    assert "it is better than the live model" in report_of(judged, run_id)


def test_the_same_quality_is_no_difference_beyond_noise_and_malformed_predictions_none_at_all(judged: Cli) -> None:
    approve(judged)
    script = judged.folder / "training" / "train.py"
    script.write_text(script.read_text().replace("random.Random(1)", "random.Random(2)"))
    assert "against live  no difference beyond noise" in judged("run")
    script.write_text(script.read_text().replace('"kind": "label"', '"kind": "colour"'))
    run = judged.json("run")
    assert run["status"] == "waiting", "they do not cost the run"
    assert "is of kind &#x27;colour&#x27;" in report_of(judged, run["id"])


def test_a_model_that_must_beat_the_live_one_needs_a_reason_where_it_does_not(judged: Cli) -> None:
    demand_better(judged)
    approve(judged)
    assert approve(judged, "--set", "epochs=4")["status"] == "done"
    run_id = judged.json("run", "--set", "epochs=2")["id"]
    _, err = judged.both("approve", "--run-id", run_id, "--yes", code=2)
    assert "The model has a shortfall (must_beat_live: WORSE: long roc_auc" in err
    assert "This model does not meet its limits." in report_of(judged)
    done = judged.json("approve", "--run-id", run_id, "--yes", "--comment", "it is smaller")
    assert (done["status"], done["decision"]["comment"]) == ("done", "it is smaller")


def test_the_live_model_predicts_new_rows_and_rows_of_its_training_are_left_out(judged: Cli) -> None:
    approve(judged)
    get_data(judged, later_rows())
    comparison = approve(judged)["evidence"]["comparison"]
    assert (comparison["test_rows"], comparison["rows"], comparison["requested"], comparison["trained_on"]) == (
        300,
        240,
        140,
        60,
    )
    # The endpoint's answer is the text's length: right about every row that it was asked about.
    assert comparison["differences"]["long"]["live"] > 0.7


def test_a_use_case_without_predictions_has_a_report_with_the_reason_for_no_comparison(tiny: Cli) -> None:
    demand_better(tiny)
    approve(tiny)
    out = tiny("run", "--set", "epochs=2")
    assert "against live  not compared: the training wrote no predictions.json" in out
    assert "could not be compared" not in report_of(tiny)
    assert "must_beat_live: not compared" in report_of(tiny)
    _, err = tiny.both("approve", "--run-id", tiny.json("runs")[0]["id"], "--yes", code=2)
    assert "must_beat_live: not compared: the training wrote no predictions.json" in err


def test_a_model_that_is_rejected_in_the_console_has_it_in_its_report(shared: Cloud) -> None:
    run = shared.json("run")
    shared.decide_in_the_console("Rejected", "not today")
    wait_for(lambda: shared.json("status")["run"]["status"] == "rejected")
    assert re.search("This run was <b>REJECTED</b> by .*: not today<", report_of(shared, run["id"]))


def test_on_aws_the_live_model_is_compared_and_the_report_lies_in_s3(shared: Cloud) -> None:
    script = shared.folder / "training" / "train.py"
    script.write_text(script.read_text() + PREDICTIONS)
    write_rows(shared.folder / "tiny.csv", *first_rows())
    shared("download-data", "--source", "tiny.csv")
    first = shared.json("run")
    assert "This run was" not in report_of(shared, first["id"])
    shared("approve", "--run-id", first["id"], "--comment", "go ahead", "--yes")
    html = report_of(shared, first["id"])
    assert "it would be the first model to go live" in html, "as it was when the decision fell"
    assert re.search("This run was <b>approved</b> by root, .*: go ahead<", html)
    assert "This model went <b>live</b> on" in html
    with urllib.request.urlopen(shared.json("report", first["id"])["report"]) as answer:
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"

    by_p90 = 'primary = "p90"\ndirection = "lower"\nmust_beat_live = true'
    shared.edit("usecase.toml", 'primary = "roc_auc"', by_p90)
    second = shared.approved("--set", "epochs=4")
    comparison = second["evidence"]["comparison"]
    assert (comparison["result"], comparison["rows"], comparison["test_rows"], comparison["requested"]) == (
        "better",
        200,
        200,
        0,
    )
    assert comparison["metric"] == "p90", "a function of the project"
    shared.edit("usecase.toml", by_p90, 'primary = "roc_auc"')
    html = report_of(shared, second["id"])
    assert "it is better than the live model, beyond noise" in html
    assert second["evidence"]["report"].endswith(f"decisions/{second['id']}/report.html")

    write_rows(shared.folder / "tiny.csv", *later_rows())
    shared("download-data", "--source", "tiny.csv")
    run = shared.json("run", "--set", "epochs=4")
    shown = shared("approve", "--run-id", run["id"], "--yes")
    assert "240 of 300 test rows, 140 of them predicted by the live endpoint; it was trained on 60 others" in shown
