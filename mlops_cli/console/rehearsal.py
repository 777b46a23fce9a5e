"""The report of a rehearsal."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from mlops_cli.console.checks import finding_table, findings_dict, summary
from mlops_cli.console.costs import costs_dict, show_costs
from mlops_cli.console.formatting import duration
from mlops_cli.core.rehearsal import Rehearsal, short_role

PRICES = "list prices of us-east-1 in November 2026, built in (mlops run reads those of your region)"

if TYPE_CHECKING:
    from rich.table import Table

    from mlops_cli.console.console import Console


def rehearsal_dict(rehearsal: Rehearsal) -> dict[str, Any]:
    return {
        **findings_dict(rehearsal.findings),
        **rehearsal.to_dict(),
        "costs": costs_dict(rehearsal.run_costs),
    }


def show_rehearsal(console: Console, rehearsal: Rehearsal) -> None:
    """Show the report. With -v, show every permission with its resources."""
    if console.as_json:
        return
    console.say("\nRehearsal")
    console.show(_steps(rehearsal))
    if rehearsal.resources:
        console.show("", _resources(rehearsal))
    if rehearsal.decisions:
        console.show("", _permissions(rehearsal))
        for name in rehearsal.names:
            unused = sorted({grant.action for grant in rehearsal.unused if grant.role == name})
            if unused:
                console.say(f"never needed by {short_role(name)}: {', '.join(unused)}")
        for decision in rehearsal.used:
            console.note(
                f"{short_role(decision.principal)}: {decision.action} on {decision.resource}, {decision.times}×"
            )
    if rehearsal.run_costs.lines:
        console.say()
        show_costs(console, rehearsal.run_costs, "on AWS it may cost", PRICES)
    if rehearsal.not_shown:
        console.say("\nA rehearsal cannot show")
        for text in rehearsal.not_shown:
            console.say(f"- {text}")
    console.say()
    for finding in rehearsal.findings:
        console.show(finding_table(finding))
    console.say(summary(rehearsal.findings) or "nothing to change")


def _steps(rehearsal: Rehearsal) -> Table:
    from mlops_cli.console.cells import styled, table

    grid = table("", "command", "time", "")
    for step in rehearsal.steps:
        mark, style = ("✗", "red") if step.problem else ("✓", "green")
        grid.add_row(styled(mark, style), step.command, duration(step.seconds), "failed" if step.problem else "")
    return grid


def _resources(rehearsal: Rehearsal) -> Table:
    from mlops_cli.console.cells import table

    grid = table("stack", "resources", "")
    for stack in dict.fromkeys(resource.stack for resource in rehearsal.resources):
        types = Counter(each.type.removeprefix("AWS::") for each in rehearsal.resources if each.stack == stack)
        listed = ", ".join(f"{count} × {name}" if count > 1 else name for name, count in sorted(types.items()))
        grid.add_row(stack or "none", str(types.total()), listed)
    return grid


def _permissions(rehearsal: Rehearsal) -> Table:
    from mlops_cli.console.cells import table

    grid = table("permissions of", "used", "refused", "never needed")
    for name in rehearsal.names:
        refused = {decision.action for decision in rehearsal.refused if decision.principal == name}
        unused = {grant.action for grant in rehearsal.unused if grant.role == name}
        grid.add_row(short_role(name), str(len(rehearsal.actions(name))), str(len(refused)), str(len(unused)))
    return grid
