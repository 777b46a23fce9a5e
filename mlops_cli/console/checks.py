"""The findings of `doctor`, shown as they are found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mlops_cli.core.checks import Finding, State

if TYPE_CHECKING:
    from rich.table import Table

    from mlops_cli.console.console import Console

MARKS = {State.OK: ("✓", "green"), State.WARNING: ("!", "yellow"), State.FAILURE: ("✗", "red")}
NAME_WIDTH = 14
PLURALS = {State.OK: "fine", State.WARNING: "warnings", State.FAILURE: "failures"}
SINGULARS = {State.OK: "fine", State.WARNING: "warning", State.FAILURE: "failure"}


def show_findings(console: Console, findings: Iterable[Finding]) -> list[Finding]:
    """Show the findings and return them. With -q show only warnings and failures."""
    shown = []
    for finding in findings:
        finding = replace(finding, fix=console.command_line.completed(finding.fix))
        shown.append(finding)
        if not (console.quiet and finding.state is State.OK):
            console.show(finding_table(finding))
    if not console.as_json:
        console.say(summary(shown))
    return shown


def finding_table(finding: Finding) -> Table:
    from mlops_cli.console.cells import styled, table

    mark, style = MARKS[finding.state]
    grid = table("", "", "")
    grid.show_header = False
    grid.columns[0].min_width = len(f"✗ {State.FAILURE.value}")
    grid.columns[1].min_width = NAME_WIDTH
    grid.add_row(styled(f"{mark} {finding.state.value}", style), finding.name, finding.message)
    if finding.reason:
        grid.add_row("", "", styled(f"why:  {finding.reason}", "dim"))
    if finding.fix:
        grid.add_row("", "", f"fix:  {finding.fix}")
    return grid


def summary(findings: Iterable[Finding]) -> str:
    counts = Counter(finding.state for finding in findings)
    shown = [state for state in (State.FAILURE, State.WARNING, State.OK) if counts[state]]
    return ", ".join(f"{counts[state]} {(SINGULARS if counts[state] == 1 else PLURALS)[state]}" for state in shown)


def findings_dict(findings: Iterable[Finding]) -> dict[str, Any]:
    listed = list(findings)
    counts = Counter(finding.state for finding in listed)
    return {
        "failures": counts[State.FAILURE],
        "warnings": counts[State.WARNING],
        "findings": [finding.to_dict() for finding in listed],
    }
