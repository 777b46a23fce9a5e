"""The tables that commands show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape
from rich.table import Table

from mlops_cli.config import Settings
from mlops_cli.console.words import MARKS, duration, moment, number, short, why
from mlops_cli.evidence import Evidence, MetricRow
from mlops_cli.plans import Action, Plan
from mlops_cli.runs import Run, StageRun, Status

ACTION_STYLES = {
    Action.ADD: "green",
    Action.CHANGE: "yellow",
    Action.REPLACE: "magenta",
    Action.REMOVE: "red",
    Action.STOP: "red",
    Action.KEEP: "dim",
}


def table(*headers: str, title: str = "") -> Table:
    """Only the last column wraps: names and digests are of no use in two pieces."""
    made = Table(box=None, pad_edge=False, title=title or None, title_justify="left", header_style="bold")
    for header in headers:
        made.add_column(header, no_wrap=True)
    made.columns[-1].no_wrap = False
    return made


def stage_table(run: Run, progress: Mapping[str, str], explain: bool) -> Table:
    overrides = "".join(f"  {name}={value}" for name, value in run.overrides.items())
    made = table("", "stage", "status", "time", "", title=f"run {run.id}  {run.status.value}{escape(overrides)}")
    for stage in run.stages:
        mark, style = MARKS[stage.status]
        text = progress.get(stage.name) or why(stage, explain)
        made.add_row(
            f"[{style}]{mark}[/]", stage.name, f"[{style}]{stage.status.value}[/]", elapsed(stage), escape(text)
        )
    return made


def elapsed(stage: StageRun) -> str:
    if stage.status is Status.RUNNING and stage.started_at:
        return duration(time.time() - stage.started_at)
    return duration(stage.seconds) if stage.status in (Status.DONE, Status.FAILED) else ""


def run_table(runs: Iterable[Run]) -> Table:
    made = table("run", "started", "status", "stands at", "model", "by")
    for run in runs:
        mark, style = MARKS[run.status]
        at, said = run.current, run.decision
        made.add_row(
            run.id,
            moment(run.created_at),
            f"[{style}]{mark} {run.status.value}[/]",
            at.name if at else "",
            short(run.stage("train").output),
            escape(said.who) if said else "",
        )
    return made


def plan_table(plan: Plan) -> Table:
    made = table("", "", "")
    made.show_header = False
    for change in plan.changes:
        style = "bold red" if change.loses else ACTION_STYLES[change.action]
        lost = f"[bold red]LOSES {escape(change.loses)}[/]  " if change.loses else ""
        made.add_row(f"[{style}]{change.action.value}[/]", escape(change.what), f"{lost}[dim]{escape(change.why)}[/]")
    return made


def settings_table(settings: Settings) -> Table:
    made = table("setting", "value", "from", "meaning")
    for value in settings.values.values():
        made.add_row(value.setting.name, escape(value.shown) or "-", value.origin, value.setting.meaning)
    return made


def metrics_table(evidence: Evidence, width: int) -> Table:
    """One row per label; metrics that do not fit into ``width`` characters are left out, the primary one last."""
    live = [f"{evidence.primary} live"] if evidence.live_digest else []
    tail = [*live, f"{evidence.primary} floor", "✗ below"]
    names = sorted(
        {name: None for row in evidence.rows for name in row.metrics}, key=lambda name: name != evidence.primary
    )
    first = max([len(evidence.split), *(len(row.name) for row in evidence.rows)])
    while len(names) > 1 and first + sum(len(name) + 2 for name in (*names, *tail)) >= width:
        names.pop()
    made = table(evidence.split, *map(escape, names), *tail[:-1], "")
    for row in evidence.rows:
        before = [number(row.live.get(evidence.primary))] if live else []
        floor = number(row.minimum.get(evidence.primary))
        made.add_row(escape(row.name), *(_cell(row, name) for name in names), *before, floor, _verdict(row))
    for column in made.columns[1:-1]:
        column.justify = "right"
    return made


def _cell(row: MetricRow, name: str) -> str:
    value = row.metrics.get(name)
    return f"{value:,}" if isinstance(value, int) else number(value)


def _verdict(row: MetricRow) -> str:
    if not row.minimum:
        return ""
    return "[red]✗ below[/]" if row.below else "[green]✓[/]"


def facts_table(facts: Mapping[str, Any]) -> Table:
    made = table("", "")
    made.show_header = False
    for name, value in facts.items():
        made.add_row(f"[bold]{name}[/]", escape(str(value)))
    return made


def predictions_table(rows: list[tuple[str, dict[str, float]]]) -> Table:
    labels = list(rows[0][1]) if rows else []
    made = table("input", *map(escape, labels))
    for text, scores in rows:
        cells = [f"[red]{scores[label]:.3f}[/]" if scores[label] > 0.5 else f"{scores[label]:.3f}" for label in labels]
        made.add_row(escape(text), *cells)
    for column in made.columns[1:]:
        column.justify = "right"
    return made
