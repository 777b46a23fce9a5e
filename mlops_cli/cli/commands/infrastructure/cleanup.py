"""``mlops cleanup``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_account
from mlops_cli.cli.options import DryRun, Json, Yes
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_LEFT_OVER, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Infrastructure
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.plan import Plan


@command("cleanup", "mlops cleanup --dry-run")
def cleanup(
    ctx: typer.Context,
    dry_run: DryRun = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Keep the dataset.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove everything that mlops created, and verify it."""
    from mlops_cli.console.output import plan_dict

    context, console = get_context(ctx)
    context.require_only_name(console)
    cost_approval = context.cost_approval(console)
    plan, remaining = show_and_remove(context.backend.infra, console, dry_run, keep_data, yes, cost_approval)
    console.result({"plan": plan_dict(plan), "left": plan_dict(remaining), "costs": cost_approval.to_dict()})
    if remaining.active:
        raise typer.Exit(EXIT_LEFT_OVER)


def show_and_remove(
    infra: Infrastructure, console: Console, dry_run: bool, keep_data: bool, yes: bool, cost_approval: CostApproval
) -> tuple[Plan, Plan]:
    """Show the plan, ask, remove, list again. Return the plan, and the part of it that remains."""
    from mlops_cli.backends.base import CostScope
    from mlops_cli.console import output
    from mlops_cli.core import cleanup_texts as texts
    from mlops_cli.core.plan import Plan

    account = show_account(infra, console)
    if account and not dry_run:
        console.require_person(yes)
    plan = infra.plan_cleanup(keep_data)
    output.show_plan(console, plan)
    if plan.active:
        cost_approval.show(infra.costs(CostScope.CLEANUP), texts.COSTS)
    if dry_run or not plan.active:
        console.say(texts.DRY_RUN if plan.active else texts.NOTHING_TO_REMOVE)
        return plan, Plan(())
    if not console.confirm(texts.QUESTION, yes):
        raise MlopsError(*texts.REFUSED)
    try:
        with console.resource_view() as watch:
            remaining = infra.cleanup(keep_data, watch)
    except KeyboardInterrupt:
        raise MlopsError(*texts.STOPPED, EXIT_INTERRUPTED) from None
    for change in remaining.active:
        console.say(texts.remaining(change.resource, change.reason if account else ""))
    if not remaining.active:
        kept = [change.resource for change in remaining.changes if change.created_by_mlops]
        console.say(texts.verified(kept, keep_data))
    return plan, remaining
