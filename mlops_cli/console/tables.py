"""The tables that commands show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from mlops_cli.console.cells import PlainTable, joined, styled, table
from mlops_cli.console.formatting import MARKS, describe_reason, duration, format_datetime, number, short
from mlops_cli.core.models.comparison import CONFIDENCE, Comparison, ComparisonResult
from mlops_cli.core.models.evidence import Evidence
from mlops_cli.core.models.metric_rows import MetricRow
from mlops_cli.core.plan import Action, Plan
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.plain_text import one_line
from mlops_cli.project.settings.values import Settings

ACTION_STYLES = {
    Action.ADD: "green",
    Action.CHANGE: "yellow",
    Action.REPLACE: "magenta",
    Action.REMOVE: "red",
    Action.STOP: "red",
    Action.KEEP: "dim",
}
# A table of predictions shows at least this number of characters of an input.
LEAST_INPUT = 24


def stage_table(run: Run, progress: Mapping[str, str], explain: bool) -> PlainTable:
    overrides = "".join(f"  {name}={value}" for name, value in run.overrides.items())
    grid = table("", "stage", "status", "time", "", title=f"run {run.id}  {run.status.value}{overrides}")
    for stage in run.stages:
        mark, style = MARKS[stage.status]
        text = progress.get(stage.name) or describe_reason(stage, explain)
        grid.add_row(styled(mark, style), stage.name, styled(stage.status.value, style), elapsed(stage), text)
    return grid


def elapsed(stage: StageRun) -> str:
    if stage.status is Status.RUNNING and stage.started_at:
        return duration(time.time() - stage.started_at)
    return duration(stage.seconds) if stage.status in (Status.DONE, Status.FAILED) else ""


def run_table(runs: Iterable[Run]) -> PlainTable:
    grid = table("run", "started", "status", "stage", "model", "decided by")
    for run in runs:
        mark, style = MARKS[run.status]
        at, decision = run.current, run.decision
        grid.add_row(
            run.id,
            format_datetime(run.created_at),
            styled(f"{mark} {run.status.value}", style),
            at.name if at else "",
            short(run.training.output),
            decision.actor.name if decision else "",
        )
    return grid


def plan_table(plan: Plan) -> PlainTable:
    grid = table("", "", "")
    grid.show_header = False
    for change in plan.changes:
        style = "bold red" if change.data_loss else ACTION_STYLES[change.action]
        lost = styled(f"LOSES {change.data_loss} ", "bold red") if change.data_loss else ""
        grid.add_row(styled(change.action.value, style), change.resource, joined(lost, styled(change.reason, "dim")))
    return grid


def settings_table(settings: Settings) -> PlainTable:
    grid = table("setting", "value", "from", "meaning")
    for value in settings.values.values():
        grid.add_row(value.setting.name, value.shown or "-", value.origin, value.setting.meaning)
    return grid


def metrics_table(evidence: Evidence, width: int) -> PlainTable:
    """Return one row for each label. If the table is wider than ``width``, leave out metrics, never the primary one."""
    primary, rows = evidence.primary, evidence.rows
    tail = {
        f"{primary} {column_name}": [number(value) for value in values]
        for column_name, values in _side_by_side(evidence).items()
    }
    names = sorted(evidence.metric_names, key=lambda name: name != primary)
    columns = {name: [_cell(row, name, primary) for row in rows] for name in names}
    violations = [_violation(row, primary) for row in rows]
    first = max([len(evidence.split), *(len(row.name) for row in rows)])
    fixed = first + sum(map(_width, tail.items())) + _width(("", violations))
    while len(columns) > 1 and fixed + sum(map(_width, columns.items())) >= width:
        columns.popitem()
    grid = table(evidence.split, *columns, *tail, "")
    for row, *cells in zip(rows, *columns.values(), *tail.values(), violations, strict=True):
        grid.add_row(row.name, *cells)
    for column in grid.columns[1:-1]:
        column.justify = "right"
    return grid


def _side_by_side(evidence: Evidence) -> dict[str, list[float | None]]:
    """Return the columns beside the primary metric: the live model's value, and the limits."""
    primary, rows = evidence.primary, evidence.rows
    # A comparison on the same rows has a table of its own.
    compared = evidence.comparison and evidence.comparison.differences
    live = {"live": [row.live.get(primary) for row in rows]} if evidence.live_digest and not compared else {}
    maxima = [row.maximum.get(primary) for row in rows]
    minima = [row.minimum.get(primary) for row in rows]
    maximum = {"max": maxima} if any(value is not None for value in maxima) else {}
    minimum = {"min": minima} if not maximum or any(value is not None for value in minima) else {}
    return {**live, **minimum, **maximum}


def _width(column: tuple[str, Sequence[str | Text]]) -> int:
    name, cells = column
    return 2 + max(map(len, (name, *cells)))


def _cell(row: MetricRow, name: str, primary: str) -> str | Text:
    """Return a metric's value, marked if it violates a limit. The primary metric's mark is beside its limits."""
    value = row.metrics.get(name)
    text = row.not_numbers.get(name) or (f"{value:,}" if isinstance(value, int) else number(value))
    is_marked = name in row.violations and name != primary
    return styled(f"✗ {text}" if is_marked else text, "red" if is_marked or name in row.not_numbers else "")


def _violation(row: MetricRow, primary: str) -> Text:
    """Return how the row violates its limits: first the primary metric, then the other ones."""
    if not (row.minimum or row.maximum):
        return styled("")
    violations = sorted(row.violations.items(), key=lambda item: item[0] != primary)
    words = [violation if name == primary else f"{name} {violation}" for name, violation in violations]
    return styled(f"✗ {', '.join(words)}", "red") if words else styled("✓", "green")


RESULT_TEXTS = {
    ComparisonResult.BETTER: ("▲ better", "green"),
    ComparisonResult.WORSE: ("▼ worse", "red"),
    ComparisonResult.LEVEL: ("= within noise", ""),
    ComparisonResult.UNKNOWN: ("too few rows", ""),
}


def difference_table(comparison: Comparison) -> PlainTable:
    """Return the primary metric of this model and the live one, row by row, on the same test rows."""
    grid = table(comparison.metric, "this model", "live model", "difference", f"{CONFIDENCE:.0%} interval", "")
    for delta in comparison.differences:
        change = "-" if delta.value is None else f"{delta.value:+.3f}"
        span = "-" if delta.low is None else f"{delta.low:+.3f} to {delta.high:+.3f}"
        grid.add_row(
            delta.name,
            number(delta.new),
            number(delta.live),
            change,
            span,
            styled(*RESULT_TEXTS[comparison.result_for(delta)]),
        )
    for column in grid.columns[1:-1]:
        column.justify = "right"
    return grid


def properties_table(properties: Mapping[str, Any]) -> PlainTable:
    grid = table("", "")
    grid.show_header = False
    for name, value in properties.items():
        grid.add_row(styled(name, "bold"), str(value))
    return grid


def predictions_view(rows: list[tuple[str, dict[str, float]]], width: int) -> list[PlainTable | Text]:
    """Return the predictions as a table. If it is wider than ``width``, show the numbers below each input.

    Numbers in 0..1 are shown as probabilities; the likely ones are marked.
    """
    labels = list(rows[0][1]) if rows else []
    shares = all(0 <= score <= 1 for _, scores in rows for score in scores.values())
    cells = [[_score(scores[label], shares) for label in labels] for _, scores in rows]
    columns = [2 + max(map(cell_len, column)) for column in zip(labels, *(map(str, row) for row in cells), strict=True)]
    room = width - sum(columns)
    texts = [styled(one_line(text)) for text, _ in rows]
    if room < min(LEAST_INPUT, max((text.cell_len for text in texts), default=0)):
        return [part for text, row in zip(texts, cells, strict=True) for part in _block(text, labels, row, width)]
    grid = table("input", *labels)
    for text, row in zip(texts, cells, strict=True):
        text.truncate(room, overflow="ellipsis")
        grid.add_row(text, *row)
    for column in grid.columns[1:]:
        column.justify = "right"
    return [grid]


def _block(text: Text, labels: list[str], cells: list[Text], width: int) -> list[Text]:
    """Return an input, and below it its labels and numbers, as many in each line as fit."""
    text.truncate(width, overflow="ellipsis")
    lines = [text]
    line = Text()
    for label, cell in zip(labels, cells, strict=True):
        pair = Text("  ").append_text(styled(label)).append(" ").append_text(cell)
        if line and line.cell_len + pair.cell_len > width:
            lines.append(line)
            line = Text()
        line.append_text(pair)
    return [*lines, line]


def _score(score: float, is_share: bool) -> Text:
    if not is_share:
        return styled(number(score))
    return styled(f"{score:.3f}", "red" if score > 0.5 else "")
