"""``mlops cleanup``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_account
from mlops_cli.cli.options import DryRun, Json, Yes
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_LEFT_OVER, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend
    from mlops_cli.console import Console
    from mlops_cli.plans import Plan
    from mlops_cli.spending import Spending


@command("cleanup", "mlops cleanup --dry-run")
def cleanup(
    ctx: typer.Context,
    dry_run: DryRun = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the dataset.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove everything that mlops created, and verify it."""
    from mlops_cli.console.reports import plan_dict

    session, console = get_context(ctx)
    spending = session.spending(console)
    plan, remaining = show_and_remove(session.backend, console, dry_run, keep_data, yes, spending)
    console.result({"plan": plan_dict(plan), "left": plan_dict(remaining), "costs": spending.to_dict()})
    if remaining.active:
        raise typer.Exit(EXIT_LEFT_OVER)


def show_and_remove(
    backend: Backend, console: Console, dry_run: bool, keep_data: bool, yes: bool, spending: Spending
) -> tuple[Plan, Plan]:
    """Show the plan, ask, remove, list again. Return the plan, and what remains of it."""
    from mlops_cli.backends.base import Occasion
    from mlops_cli.console import reports
    from mlops_cli.plans import Plan

    account = show_account(backend, console)
    if account and not dry_run:
        console.require_person(yes)
    plan = backend.plan_teardown(keep_data)
    reports.show_plan(console, plan)
    if plan.active:
        spending.show(backend.costs(Occasion.CLEANUP), "what this stops costing")
    if dry_run or not plan.active:
        console.say("dry run: nothing was changed" if plan.active else "nothing to remove")
        return plan, Plan(())
    if not console.confirm("Stop and remove all this?", yes):
        raise MlopsError("Nothing was removed.", "Look at the plan again: mlops cleanup --dry-run")
    try:
        with console.resource_view() as watch:
            remaining = backend.teardown(keep_data, watch)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; not everything is removed.", "Go on with it: mlops cleanup", EXIT_INTERRUPTED
        ) from None
    for change in remaining.active:
        console.say(f"left: {change.what}" + (f"  {change.why}" if account else ""))
    if not remaining.active:
        console.say("proof: looked again, nothing that mlops made is left" + (" but the data" if keep_data else ""))
    return plan, remaining
