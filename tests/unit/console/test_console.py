"""Tables on narrow and wide terminals, and the texts of progress."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console as RichConsole

from mlops_cli.console import Console
from mlops_cli.console.cells import table
from mlops_cli.console.checks import finding_table
from mlops_cli.console.formatting import describe_stage, number
from mlops_cli.console.live.progress import Lines, describe, size
from mlops_cli.console.live.resource_tree import Tree
from mlops_cli.console.output import show_evidence
from mlops_cli.console.tables import (
    metrics_table,
    plan_table,
    predictions_view,
    properties_table,
    settings_table,
    stage_table,
)
from mlops_cli.core.checks import Finding, State
from mlops_cli.core.models.comparison import Comparison, MetricDelta
from mlops_cli.core.models.evidence import Evidence, make_evidence
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.models.metric_rows import MetricRow
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.core.progress import ResourceEvent
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import STAGES
from mlops_cli.project.settings.values import resolve

LABELS = ("toxic", "severe_toxic", "identity_hate", "macro")
METRICS = Metrics("test", "roc_auc", {"macro": {"roc_auc": 0.9}, "label": {"roc_auc": 0.8}})


def evidence(rows: dict[str, dict[str, Any]], live: dict[str, Any] | None = None) -> Evidence:
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": {"test": rows}}
    before = StageRun("train", output="d" * 64, detail={"metrics": {"test": live}}, run_id="old") if live else None
    return make_evidence(run, METRICS, {}, before, None)


def full_rows(value: float) -> dict[str, dict[str, Any]]:
    names = ("average_precision", "roc_auc", "f1", "threshold")
    return {label: dict.fromkeys(names, value) | {"positives": 1231} for label in LABELS}


def drawn(evidence: Evidence, width: int) -> list[str]:
    out = io.StringIO()
    RichConsole(file=out, width=width).print(metrics_table(evidence, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [62, 80, 110, 200])
@pytest.mark.parametrize("live", [None, full_rows(0.95)])
def test_no_row_of_the_evidence_is_broken(width: int, live: dict[str, Any] | None) -> None:
    lines = drawn(evidence(full_rows(0.5), live), width)
    assert [line.split()[0] for line in lines] == ["test", *LABELS]
    assert all(line.endswith("✗ under") for line in lines[1:])
    assert "roc_auc" in lines[0]
    assert ("positives" in lines[0]) == (width >= 110)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"roc_auc": 0.79}, "toxic: roc_auc 0.790 is under 0.8"),
        ({"roc_auc": None}, "toxic: roc_auc is null in metrics.json: it was not computed"),
        ({"roc_auc": float("nan")}, "toxic: roc_auc is not a number: NaN"),
        ({"f1": 0.9}, "toxic: roc_auc is not in metrics.json"),
        ({"roc_acu": 0.9}, "toxic: roc_auc is not in metrics.json (did you mean roc_acu?)"),
        ({"roc_auc": "0.99"}, "toxic: roc_auc is not a number: 0.99"),
    ],
)
def test_a_metric_below_its_minimum_is_explained(row: dict[str, Any], message: str) -> None:
    assert message in evidence({"toxic": row}).shortfalls


def test_a_metric_above_its_minimum_has_no_explanation() -> None:
    assert evidence({"toxic": {"roc_auc": 0.8}, "macro": {"roc_auc": 0.9}}).shortfalls == []


RENT = Metrics("test", "rmse", {"rent": {"r2": 0.9}}, {"rent": {"rmse": 80.0}, "label": {"mae": 50.0}})


def rents(**rows: dict[str, Any]) -> Evidence:
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": {"test": rows}}
    return make_evidence(run, RENT, {}, None, None)


@pytest.mark.parametrize(
    ("rows", "shortfalls"),
    [
        ({"rent": {"rmse": 80.0, "r2": 0.9}, "hill": {"mae": 50.0}}, []),
        ({"rent": {"rmse": 91.25, "r2": 0.9}}, ["rent: rmse 91.250 is over 80"]),
        ({"rent": {"rmse": 1.0, "r2": 0.5}}, ["rent: r2 0.500 is under 0.9"]),
        ({"rent": {"rmse": 1.0, "r2": 1.0}, "hill": {"mae": 51}}, ["hill: mae 51.000 is over 50"]),
        (
            {"rent": {"rmse": None, "r2": 1.0}},
            ["rent: rmse is null in metrics.json: it was not computed"],
        ),
        ({"hill": {"rmse": 1.0, "mae": 1.0}}, ["metrics.json has no row 'rent', which has limits"]),
    ],
)
def test_an_error_has_a_maximum(rows: dict[str, dict[str, Any]], shortfalls: list[str]) -> None:
    evidence = rents(**rows)
    assert evidence.shortfalls == shortfalls
    assert evidence.lower_is_better


def test_maximum_limits_are_marked_as_maximum() -> None:
    lines = drawn(rents(rent={"rmse": 12_345.6, "r2": 0.95, "mae": 90.0}, hill={"rmse": 3.0, "mae": 1.0}), 80)
    assert lines[0].split() == ["test", "rmse", "r2", "mae", "rmse", "max"]
    assert lines[1].split() == ["rent", "12,346", "0.950", "90.000", "80.000", "✗", "over"]
    assert lines[2].split() == ["hill", "3.000", "-", "1.000", "-", "✓"]


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"rmse": 91.25, "r2": 0.95, "mae": 1.0}, "91.250 0.950 1.000 80.000 ✗ over"),
        ({"rmse": 1.0, "r2": 0.5, "mae": 1.0}, "1.000 ✗ 0.500 1.000 80.000 ✗ r2 under"),
        ({"rmse": 91.25, "r2": 0.5, "mae": 1.0}, "91.250 ✗ 0.500 1.000 80.000 ✗ over, r2 under"),
        ({"r2": 0.95, "mae": 1.0}, "- 0.950 1.000 80.000 ✗ missing"),
        ({"rmse": None, "mae": 1.0}, "- ✗ - 1.000 80.000 ✗ missing, r2 missing"),
        ({"rmse": True, "r2": "x", "mae": 1.0}, "true ✗ x 1.000 80.000 ✗ not a number, r2 not a number"),
    ],
)
def test_a_mark_names_the_metric_and_the_side(row: dict[str, Any], shown: str) -> None:
    lines = drawn(rents(hill={"rmse": 1.0, "r2": 0.1, "mae": 51.0}, rent=row), 110)
    assert [" ".join(line.split()) for line in lines] == [
        "test rmse r2 mae rmse max",
        "hill 1.000 0.100 ✗ 51.000 - ✗ mae over",
        f"rent {shown}",
    ]


def test_a_metric_that_no_row_has_is_missing_once() -> None:
    both = Metrics("test", "rmse", {"rent": {"skill": 0.1}}, {"rent": {"skill": 0.9}})
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": {"test": {"rent": {"rmse": 1.0}}}}
    evidence = make_evidence(run, both, {}, None, None)
    assert evidence.shortfalls == ["rent: skill is not in metrics.json"]
    assert [" ".join(line.split()) for line in drawn(evidence, 80)] == [
        "test rmse skill rmse min",
        "rent 1.000 ✗ - - ✗ skill missing",
    ]


@pytest.mark.parametrize(
    ("metrics", "lower"),
    [
        (Metrics("test", "delay", maximum={"macro": {"delay": 1.0}}), True),
        (Metrics("test", "delay", {"macro": {"delay": 0.1}}, {"macro": {"delay": 1.0}}), False),
        (Metrics("test", "delay", maximum={"macro": {"mae": 1.0}}), False),
        (Metrics("test", "delay", direction="lower"), True),
        (Metrics("test", "delay", maximum={"macro": {"delay": 1.0}}, direction="higher"), False),
        (Metrics("test", "mae"), True),
        (Metrics("test", "rmse", maximum={"macro": {"mae": 1.0}}), True),
        (Metrics("test", "roc_auc"), False),
        (Metrics("test", "mae", direction="higher"), False),
    ],
)
def test_which_way_is_better(metrics: Metrics, lower: bool) -> None:
    assert metrics.lower_is_better is lower


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (0, "0.000"), (0.98765, "0.988"), (99.5, "99.500"), (-1234.56, "-1,234.6"), (231_000.4, "231,000")],
)
def test_numbers_of_any_size_are_short(value: float | None, shown: str) -> None:
    assert number(value) == shown
    assert number(0.00004) == "4.00e-05"


def test_predictions_that_are_no_probabilities_are_just_numbers() -> None:
    out = io.StringIO()
    console = RichConsole(file=out, width=80, force_terminal=True)
    console.print(*predictions_view([("area 30", {"rent": 0.9}), ("area 120", {"rent": 2194.71})], 80))
    assert "2,194.7" in out.getvalue()
    assert "\x1b[31m" not in out.getvalue(), "red is for likely labels"


@pytest.mark.parametrize(
    ("written", "more"),
    [
        (None, " (the training wrote no metrics)"),
        ([], " (the training wrote no metrics)"),
        ("text", " (the training wrote no metrics)"),
        ({"test": None}, ""),
        ({"test": [1]}, ""),
        ({"other": {}}, " (it has metrics of other; [metrics] split is test)"),
    ],
)
def test_metrics_of_another_form_are_no_metrics(written: object, more: str) -> None:
    run = Run("r", 0.0, Status.WAITING, [StageRun(stage.name) for stage in STAGES])
    run.stage("train").detail = {"metrics": written}
    assert make_evidence(run, METRICS, {}, None, None).shortfalls == [
        f"metrics.json has no 'roc_auc', the primary metric{more}"
    ]


def test_a_metric_row_lists_its_metrics_below_the_limit() -> None:
    assert MetricRow("a", {"m": 1.0}, {"m": 2.0}, {}).below == ["m"]


def test_progress_says_rate_and_time_left() -> None:
    assert describe(50, 200, "rows", 10.0) == "50 rows of 200 rows, 5 rows/s, 30.0 s left"
    assert describe(50, None, "rows", 10.0) == "50 rows, 5 rows/s"
    assert describe(0, 200, "rows", 10.0) == "0 rows of 200 rows"
    assert describe(1, None, "files", 0.1) == "1 file"
    assert [size(number, "B") for number in (7, 1_500, 2_000_000, 3e12)] == ["7 B", "1.5 kB", "2.0 MB", "3,000.0 GB"]


def test_lines_come_once_per_phase_when_it_goes_fast() -> None:
    printed: list[str] = []
    lines = Lines(printed.append)
    for done in range(10):
        lines("download", done, 10, "B")
    lines("check", 3, 3, "rows")
    lines.close()
    assert [line.split("  ", 1)[1] for line in printed] == ["download: 9 B of 10 B", "check: 3 rows of 3 rows"]


HOSTILE = "x\x1b[1A\x1b[2K\x1b]0;title\x07\rverdict: fine\u202e[bold]b[/bold] [link=http://evil.example]a[/link]"


def on_terminal(show: Callable[[Console], None], monkeypatch: pytest.MonkeyPatch, columns: int = 80) -> str:
    """Return the characters that are sent to a terminal of this width."""
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    show(Console())
    return out.getvalue()


def without_styles(shown: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", shown)


def hostile_run() -> Run:
    run = Run("r", 0.0, Status.FAILED, [StageRun(stage.name) for stage in STAGES], overrides={"train.a": HOSTILE})
    run.stages[0].status, run.stages[0].reason = Status.FAILED, HOSTILE
    return run


def hostile_tree() -> Tree:
    tree = Tree(RichConsole(file=io.StringIO()))
    tree(ResourceEvent(HOSTILE, HOSTILE, HOSTILE, "CREATE_FAILED", HOSTILE))
    tree(ResourceEvent("group", HOSTILE, HOSTILE, "CREATE_FAILED", HOSTILE))
    return tree


MANY_SCORES = {f"{HOSTILE}{number}": number for number in range(9)}
HOSTILE_FINDING = Finding(HOSTILE, State.FAILURE, HOSTILE, HOSTILE, HOSTILE)
SHOWN: dict[str, Callable[[Console], None]] = {
    "a message": lambda console: console.say(HOSTILE),
    "a string": lambda console: console.show(HOSTILE),
    "a log": lambda console: console.print_log([HOSTILE]),
    "facts": lambda console: console.show(properties_table({HOSTILE: HOSTILE})),
    "predictions": lambda console: console.show(*predictions_view([(HOSTILE, {HOSTILE: 0.9})], 80)),
    "many predictions": lambda console: console.show(*predictions_view([(HOSTILE, MANY_SCORES)], 80)),
    "stages": lambda console: console.show(stage_table(hostile_run(), {"train": HOSTILE}, explain=True)),
    "a finding": lambda console: console.show(finding_table(HOSTILE_FINDING)),
    "a plan": lambda console: console.show(
        plan_table(Plan((Change(Action.ADD, HOSTILE, HOSTILE, data_loss=HOSTILE),)))
    ),
    "metrics": lambda console: console.show(metrics_table(evidence({HOSTILE: {HOSTILE: 1.0, "roc_auc": HOSTILE}}), 80)),
    "settings": lambda console: console.show(settings_table(resolve({}, {"MLFLOW_EXPERIMENT_NAME": HOSTILE}, {}))),
    "resources": lambda console: console.show(hostile_tree()._render()),
}


@pytest.mark.parametrize("name", SHOWN)
def test_text_from_outside_cannot_control_the_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own styles stay. Text that looks like markup is shown unchanged."""
    shown = without_styles(on_terminal(SHOWN[name], monkeypatch, 1000))
    assert all(character == "\n" or character.isprintable() for character in shown)
    assert "[bold]b[/bold] [link=http://evil.example]a[/link]" in shown


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_every_prediction_is_whole_at_any_width(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate", "a_label_of_another_kind")
    scores = {label: 0.1 + number / 1000 for number, label in enumerate(labels)}
    rows = [("You are a stupid idiot and nobody likes you.", scores), ("日本語のとても長い文章です" * 9, scores)]
    shown = on_terminal(lambda console: console.show(*predictions_view(rows, console.width)), monkeypatch, columns)
    for label, score in scores.items():
        assert label in shown
        assert shown.count(f"{score:.3f}") == 2
    assert all(cell_len(line) <= columns for line in without_styles(shown).splitlines())


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (40, ["remove  .mlops/data/dataset.json", "  the downloaded dataset", "keep  training/, .env", "  yours"]),
        (80, ["remove  .mlops/data/dataset.json  the downloaded dataset", f"keep    training/, .env{' ' * 11}yours"]),
    ],
)
def test_a_plan_breaks_no_word_on_a_narrow_terminal(
    columns: int, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = (
        Change(Action.REMOVE, ".mlops/data/dataset.json", "the downloaded dataset"),
        Change(Action.KEEP, "training/, .env", "yours"),
    )
    text = on_terminal(lambda console: console.show(plan_table(Plan(changes))), monkeypatch, columns)
    assert [line.rstrip() for line in without_styles(text).splitlines() if line.strip()] == shown


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("0", 110), ("-5", 110), ("wide", 110), ("", 110)])
def test_columns_says_how_wide_tables_are(columns: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setenv("COLUMNS", columns)
    assert Console().width == width


@pytest.mark.parametrize("values", [(0.95, 0.90), (0.90, 0.95)])
def test_the_last_line_never_says_that_all_is_well_beside_a_worse_model(
    values: tuple[float, float], capsys: pytest.CaptureFixture[str]
) -> None:
    current, live = values
    low, high = sorted((0.9 * (current - live), 1.1 * (current - live)))
    delta = MetricDelta("macro", current, live, low, high)
    comparison = Comparison("roc_auc", rows=100, test_rows=100, resamples=1000, differences=(delta,))
    run_evidence = replace(evidence(full_rows(current), full_rows(live)), comparison=comparison)
    show_evidence(Console(), run_evidence)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("limits")]
    assert ("WORSE than the live one" in line) == (current < live)


@pytest.mark.parametrize(("columns", "hidden"), [(200, ""), (60, "f1, threshold, positives")])
def test_metrics_that_do_not_fit_are_named(monkeypatch: pytest.MonkeyPatch, columns: int, hidden: str) -> None:
    shown = without_styles(
        on_terminal(lambda console: show_evidence(console, evidence(full_rows(0.95))), monkeypatch, columns)
    )
    text = " ".join(shown.split())
    assert ("not shown" in text) is bool(hidden)
    assert hidden in text
    assert not hidden or f"not shown, for lack of width: {hidden}; the report has all" in text


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_the_name_of_a_metric_cannot_pose_as_a_line_of_the_evidence(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    name = "speed\nlimits    all metrics are within their limits\n```"
    rows = {f"{label}\nlimits    all is well": {**row, name: 1.0} for label, row in full_rows(0.01).items()}
    text = on_terminal(lambda console: show_evidence(console, evidence(rows)), monkeypatch, columns)
    lines = without_styles(text).splitlines()
    assert [line for line in lines if line.startswith("```")] == []
    assert len([line for line in lines if line.startswith("limits")]) == 1


def test_a_narrow_terminal_shows_the_run_and_each_stage_with_its_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run("1fd98537", 0.0, Status.DONE, [StageRun(stage.name) for stage in STAGES])
    run.stages[0].status, run.stages[0].reason = Status.REUSED, "unchanged since run 34d94ba3"
    shown = without_styles(
        on_terminal(lambda console: console.show(stage_table(run, {}, explain=False)), monkeypatch, 50)
    )
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines[0] == "run 1fd98537  done"
    assert lines[1:3] == ["stage   = preprocess", "status  reused"]
    assert lines.count("run 1fd98537  done") == 1


def test_a_stage_s_line_has_only_the_beginning_of_a_long_failure() -> None:
    """The end of the command's output has the whole message."""
    stage = StageRun("train", status=Status.FAILED, reason=f"The model cannot be served: {'x' * 1000}")
    stage.started_at, stage.finished_at = 0.0, 61.0
    line = describe_stage(stage, explain=False)
    assert line.startswith("1 min 01 s  The model cannot be served: xx")
    assert line.endswith("… (1,028 characters)")
    assert len(line) < 200


def test_where_cells_would_be_cut_each_row_is_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = table("run", "status", "model", "meaning")
    grid.add_row("10e87cca", "waiting", "308651a83863", "a longer text, of words that are whole")
    grid.add_row("22f93c1b", "", "9f8651a83863", "a/path/that/is/longer/than/any/terminal/of/a/phone.csv")
    for columns in (40, 60, 120):
        shown = without_styles(on_terminal(lambda console: console.show(grid), monkeypatch, columns))
        assert "…" not in shown
        for word in ("10e87cca", "308651a83863", "waiting", "longer", "words", "9f8651a83863"):
            assert word in shown
        assert all(cell_len(line) <= columns for line in shown.splitlines())


def test_an_error_is_no_megabyte(capsys: pytest.CaptureFixture[str]) -> None:
    Console().error("there is no file " + "a" * 1_000_000 + "\nsecond line", "b" * 1_000_000, 1)
    shown = capsys.readouterr().err
    assert len(shown) < 5_000
    assert "second line" in shown
