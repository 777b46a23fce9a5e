"""Champion and challenger and the report on the simulated AWS: the same evidence as on one machine."""

from __future__ import annotations

import re
import urllib.request

import pytest

from aws_simulator.fixture import aws_server
from tests.conftest import wait_for
from tests.e2e.cloud import Cloud, shared
from tests.e2e.judging import PREDICTIONS, first_rows, later_rows, write_rows

pytestmark = pytest.mark.slow
__all__ = ["aws_server", "shared"]


def report_of(cloud: Cloud, run_id: str) -> tuple[str, str]:
    """The page behind the address that the command gives, and its content type."""
    address = cloud.json("report", run_id)["report"]
    with urllib.request.urlopen(address) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def test_without_predictions_the_report_says_so(shared: Cloud) -> None:
    run = shared.json("run")
    assert "the training wrote no predictions.json" in report_of(shared, run["id"])[0]
    assert shared.json("run")["status"] == "waiting"
    shared("approve", "--run-id", run["id"], "--reject", "--comment", "too rude", "--yes")
    assert re.search("This run was <b>REJECTED</b> by root, .*: too rude<", report_of(shared, run["id"])[0])


def test_a_model_that_is_rejected_in_the_console_has_it_in_its_report(shared: Cloud) -> None:
    run = shared.json("run")
    shared.decide_in_the_console("Rejected", "not today")
    wait_for(lambda: shared.json("status")["run"]["status"] == "rejected", 60)
    assert re.search("This run was <b>REJECTED</b> by .*: not today<", report_of(shared, run["id"])[0])


def test_the_live_model_is_compared_and_the_report_lies_in_s3(shared: Cloud) -> None:
    script = shared.folder / "training" / "train.py"
    script.write_text(script.read_text() + PREDICTIONS)
    write_rows(shared.folder / "tiny.csv", *first_rows())
    shared("download-data", "--source", "tiny.csv")
    first = shared.json("run")
    assert "This run was" not in report_of(shared, first["id"])[0]
    shared("approve", "--run-id", first["id"], "--comment", "go ahead", "--yes")
    html, kind = report_of(shared, first["id"])
    assert "it would be the first model to go live" in html, "as it was when the decision fell"
    assert re.search("This run was <b>approved</b> by root, .*: go ahead<", html)
    assert kind == "text/html; charset=utf-8"

    second = shared.approved("--set", "epochs=4")
    found = second["evidence"]["comparison"]
    assert (found["result"], found["rows"], found["of"], found["asked"]) == ("better", 200, 200, 0)
    html, _ = report_of(shared, second["id"])
    assert "it is better than the live model, beyond noise" in html
    assert second["evidence"]["report"].endswith(f"decisions/{second['id']}/report.html")

    write_rows(shared.folder / "tiny.csv", *later_rows())
    shared("download-data", "--source", "tiny.csv")
    run = shared.json("run", "--set", "epochs=4")
    shown = shared("approve", "--run-id", run["id"], "--yes")
    assert "240 of 300 test rows, 140 of them predicted by the live endpoint; it was trained on 60 others" in shown
