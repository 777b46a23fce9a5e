"""What tables look like on narrow and wide terminals, and how progress is worded."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console as RichConsole

from mlops_cli.console.progress import Lines, describe, size
from mlops_cli.console.tables import metrics_table
from mlops_cli.evidence import Evidence, MetricRow, make_evidence
from mlops_cli.runs import Run, StageRun, Status
from mlops_cli.stages import STAGES
from mlops_cli.usecase import Metrics

LABELS = ("toxic", "severe_toxic", "identity_hate", "macro")
METRICS = Metrics("test", "roc_auc", {"roc_auc": 0.9}, {"roc_auc": 0.8})


def evidence(rows: dict[str, dict[str, Any]], live: dict[str, Any] | None = None) -> Evidence:
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": {"test": rows}}
    before = StageRun("train", output="d" * 64, detail={"metrics": {"test": live}}, run_id="old") if live else None
    return make_evidence(run, METRICS, {}, before, None)


def full_rows(value: float) -> dict[str, dict[str, Any]]:
    names = ("average_precision", "roc_auc", "f1", "threshold")
    return {label: dict.fromkeys(names, value) | {"positives": 1231} for label in LABELS}


def drawn(found: Evidence, width: int) -> list[str]:
    out = io.StringIO()
    RichConsole(file=out, width=width).print(metrics_table(found, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [62, 80, 110, 200])
@pytest.mark.parametrize("live", [None, full_rows(0.95)])
def test_no_row_of_the_evidence_is_broken(width: int, live: dict[str, Any] | None) -> None:
    lines = drawn(evidence(full_rows(0.5), live), width)
    assert [line.split()[0] for line in lines] == ["test", *LABELS]
    assert all(line.endswith("✗ below") for line in lines[1:])
    assert "roc_auc" in lines[0]
    assert ("positives" in lines[0]) == (width >= 110)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"roc_auc": 0.79}, "toxic: roc_auc 0.790 is under 0.8"),
        ({"roc_auc": None}, "toxic: roc_auc cannot be computed: too few rows"),
        ({"roc_auc": float("nan")}, "toxic: roc_auc nan is under 0.8"),
        ({"f1": 0.9}, "toxic: roc_auc is not in metrics.json"),
        ({"roc_auc": "0.99"}, "toxic: roc_auc cannot be computed: too few rows"),
    ],
)
def test_what_has_not_reached_its_floor_says_why(row: dict[str, Any], said: str) -> None:
    assert said in evidence({"toxic": row}).shortfalls


def test_what_has_reached_its_floor_says_nothing() -> None:
    assert evidence({"toxic": {"roc_auc": 0.8}, "macro": {"roc_auc": 0.9}}).shortfalls == []


@pytest.mark.parametrize("written", [None, [], "text", {"test": None}, {"test": [1]}, {"other": {}}])
def test_metrics_of_another_form_are_no_metrics(written: object) -> None:
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": written}
    assert make_evidence(run, METRICS, {}, None, None).shortfalls == [
        "metrics.json has no 'roc_auc', the primary metric"
    ]


def test_the_row_type_is_what_it_says() -> None:
    assert MetricRow("a", {"m": 1.0}, {"m": 2.0}, {}).below == ["m"]


def test_progress_says_rate_and_time_left() -> None:
    assert describe(50, 200, "rows", 10.0) == "50 rows of 200 rows, 5 rows/s, 30.0 s left"
    assert describe(50, None, "rows", 10.0) == "50 rows, 5 rows/s"
    assert describe(0, 200, "rows", 10.0) == "0 rows of 200 rows"
    assert [size(number, "B") for number in (7, 1_500, 2_000_000, 3e12)] == ["7 B", "1.5 kB", "2.0 MB", "3,000.0 GB"]


def test_lines_come_once_per_phase_when_it_goes_fast() -> None:
    said: list[str] = []
    lines = Lines(said.append)
    for done in range(10):
        lines("download", done, 10, "B")
    lines("check", 3, 3, "rows")
    lines.close()
    assert [line.split("  ", 1)[1] for line in said] == ["download: 9 B of 10 B", "check: 3 rows of 3 rows"]
