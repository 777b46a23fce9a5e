"""The tables that commands show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mlops_cli.console.formatting import MARKS, describe_reason, duration, format_datetime, number, short
from mlops_cli.core.comparison import CONFIDENCE, Comparison, ComparisonResult
from mlops_cli.core.evidence import Evidence, MetricRow
from mlops_cli.core.plan import Action, Plan
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.project.settings import Settings

ACTION_STYLES = {
    Action.ADD: "green",
    Action.CHANGE: "yellow",
    Action.REPLACE: "magenta",
    Action.REMOVE: "red",
    Action.STOP: "red",
    Action.KEEP: "dim",
}


def table(*headers: str, title: str = "") -> Table:
    """Return a table in which only the last column wraps: a name or digest in two pieces is useless."""
    grid = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="bold")
    for header in headers:
        grid.add_column(header, no_wrap=True)
    grid.columns[-1].no_wrap = False
    return grid


def stage_table(run: Run, progress: Mapping[str, str], explain: bool) -> Table:
    overrides = "".join(f"  {name}={value}" for name, value in run.overrides.items())
    grid = table("", "stage", "status", "time", "", title=f"run {run.id}  {run.status.value}{escape(overrides)}")
    for stage in run.stages:
        mark, style = MARKS[stage.status]
        text = progress.get(stage.name) or describe_reason(stage, explain)
        grid.add_row(
            f"[{style}]{mark}[/]", stage.name, f"[{style}]{stage.status.value}[/]", elapsed(stage), escape(text)
        )
    return grid


def elapsed(stage: StageRun) -> str:
    if stage.status is Status.RUNNING and stage.started_at:
        return duration(time.time() - stage.started_at)
    return duration(stage.seconds) if stage.status in (Status.DONE, Status.FAILED) else ""


def run_table(runs: Iterable[Run]) -> Table:
    grid = table("run", "started", "status", "stands at", "model", "by")
    for run in runs:
        mark, style = MARKS[run.status]
        at, decision = run.current, run.decision
        grid.add_row(
            run.id,
            format_datetime(run.created_at),
            f"[{style}]{mark} {run.status.value}[/]",
            at.name if at else "",
            short(run.stage("train").output),
            escape(decision.actor.name) if decision else "",
        )
    return grid


def plan_table(plan: Plan) -> Table:
    grid = table("", "", "")
    grid.show_header = False
    for change in plan.changes:
        style = "bold red" if change.loses else ACTION_STYLES[change.action]
        lost = f"[bold red]LOSES {escape(change.loses)}[/]  " if change.loses else ""
        grid.add_row(f"[{style}]{change.action.value}[/]", escape(change.what), f"{lost}[dim]{escape(change.why)}[/]")
    return grid


def settings_table(settings: Settings) -> Table:
    grid = table("setting", "value", "from", "meaning")
    for value in settings.values.values():
        grid.add_row(value.setting.name, escape(value.shown) or "-", value.origin, value.setting.meaning)
    return grid


def metrics_table(evidence: Evidence, width: int) -> Table:
    """Return one row per label. Metrics wider than ``width`` characters are left out, the primary one last."""
    primary, rows = evidence.primary, evidence.rows
    tail = {
        f"{primary} {column_name}": [number(value) for value in values]
        for column_name, values in _side_by_side(evidence).items()
    }
    names = sorted({name: None for row in rows for name in row.metrics}, key=lambda name: name != primary)
    columns = {name: [_cell(row, name) for row in rows] for name in names}
    first = max([len(evidence.split), *(len(row.name) for row in rows)])
    fixed = first + sum(map(_width, tail.items())) + len("  ✗ below")
    while len(columns) > 1 and fixed + sum(map(_width, columns.items())) >= width:
        columns.popitem()
    grid = table(evidence.split, *map(escape, columns), *map(escape, tail), "")
    for row, *cells in zip(rows, *columns.values(), *tail.values(), strict=True):
        grid.add_row(escape(row.name), *cells, _comparison_text(row))
    for column in grid.columns[1:-1]:
        column.justify = "right"
    return grid


def _side_by_side(evidence: Evidence) -> dict[str, list[float | None]]:
    """Return the columns beside the primary metric: the live model's value, and the limits."""
    primary, rows = evidence.primary, evidence.rows
    # A comparison has its own table, of the same rows.
    compared = evidence.comparison and evidence.comparison.differences
    live = {"live": [row.live.get(primary) for row in rows]} if evidence.live_digest and not compared else {}
    ceilings = [row.maximum.get(primary) for row in rows]
    floors = [row.minimum.get(primary) for row in rows]
    capped = {"ceiling": ceilings} if any(value is not None for value in ceilings) else {}
    floored = {"floor": floors} if not capped or any(value is not None for value in floors) else {}
    return {**live, **floored, **capped}


def _width(column: tuple[str, list[str]]) -> int:
    name, cells = column
    return 2 + max(map(len, (name, *cells)))


def _cell(row: MetricRow, name: str) -> str:
    value = row.metrics.get(name)
    if name in row.strange:
        return f"[red]{escape(row.strange[name])}[/]"
    return f"{value:,}" if isinstance(value, int) else number(value)


def _comparison_text(row: MetricRow) -> str:
    if not (row.minimum or row.maximum):
        return ""
    if not row.shortfalls:
        return "[green]✓[/]"
    return f"[red]✗ {'below' if row.below else 'above'}[/]"


STANDINGS = {
    ComparisonResult.BETTER: "[green]▲ better[/]",
    ComparisonResult.WORSE: "[red]▼ worse[/]",
    ComparisonResult.LEVEL: "= within noise",
    ComparisonResult.UNKNOWN: "too few rows",
}


def difference_table(comparison: Comparison) -> Table:
    """Return one row per row of the primary metric: this model's and the live one's, on the same test rows."""
    grid = table(escape(comparison.metric), "this model", "live model", "difference", f"{CONFIDENCE:.0%} interval", "")
    for delta in comparison.differences:
        change = "-" if delta.value is None else f"{delta.value:+.3f}"
        span = "-" if delta.low is None else f"{delta.low:+.3f} to {delta.high:+.3f}"
        grid.add_row(
            escape(delta.name),
            number(delta.now),
            number(delta.live),
            change,
            span,
            STANDINGS[comparison.result_for(delta)],
        )
    for column in grid.columns[1:-1]:
        column.justify = "right"
    return grid


def facts_table(facts: Mapping[str, Any]) -> Table:
    grid = table("", "")
    grid.show_header = False
    for name, value in facts.items():
        grid.add_row(f"[bold]{name}[/]", escape(str(value)))
    return grid


def predictions_table(rows: list[tuple[str, dict[str, float]]]) -> Table:
    """Return a table of predictions. Numbers in 0..1 are shown as probabilities, the likely ones marked."""
    labels = list(rows[0][1]) if rows else []
    shares = all(0 <= score <= 1 for _, scores in rows for score in scores.values())
    grid = table("input", *map(escape, labels))
    for text, scores in rows:
        grid.add_row(escape(text), *(_score(scores[label]) if shares else number(scores[label]) for label in labels))
    for column in grid.columns[1:]:
        column.justify = "right"
    return grid


def _score(score: float) -> str:
    return f"[red]{score:.3f}[/]" if score > 0.5 else f"{score:.3f}"
