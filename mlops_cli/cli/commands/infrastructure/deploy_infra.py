"""``mlops deploy-infra``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_account, show_unsent_inputs, show_warnings
from mlops_cli.cli.options import DryRun, Json, Yes, YesCost
from mlops_cli.errors import EXIT_INTERRUPTED, ConfigurationError, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Infrastructure
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.plan import Plan


@command("deploy-infra", "mlops deploy-infra --dry-run")
def deploy_infra(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(help="aws: the code source of the pipeline: codecommit, s3 or connection."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Create what the target needs; show a plan first."""
    from mlops_cli.console.output import plan_dict

    context, console = get_context(ctx)
    context.set_flag("SOURCE", source)
    cost_approval = context.cost_approval(console, yes, yes_cost)
    plan, changed = show_and_deploy(context.backend.infra, console, dry_run, yes, cost_approval)
    result = {"place": context.backend.infra.account_label(), "plan": plan_dict(plan), "changed": changed}
    console.result({**result, "costs": cost_approval.to_dict()})
    console.next("mlops run")


def show_and_deploy(
    infra: Infrastructure, console: Console, dry_run: bool, yes: bool, cost_approval: CostApproval
) -> tuple[Plan, bool]:
    """Show the plan, ask if it changes an account, deploy. Return the plan, and True if anything changed."""
    from mlops_cli.backends.base import CostScope
    from mlops_cli.console import output

    account = show_account(infra, console)
    if account and not dry_run:
        console.require_person(yes)
    try:
        with console.resource_view() as watch:
            plan = infra.plan(watch)
        output.show_plan(console, plan)
        if plan.active and not dry_run:
            _stop_at_certain_failures(infra)
        show_warnings(infra, console)
        show_unsent_inputs(infra, console)
        if not plan.active:
            console.say("no changes")
            return plan, False
        show = cost_approval.show if dry_run else cost_approval.approve
        show(infra.costs(CostScope.ENDPOINT), "once a model is approved")
        if dry_run:
            console.say("dry run: nothing was changed")
            return plan, False
        if account and not console.confirm(_question(plan), yes):
            raise MlopsError("Nothing was changed.", "Show the plan again: mlops deploy-infra --dry-run")
        with console.resource_view() as watch:
            infra.deploy(watch)
    except KeyboardInterrupt:
        going_on = f"; changes in progress continue on AWS in {account.split(', as ')[0]}" if account else ""
        raise MlopsError(f"Stopped{going_on}.", "To continue, repeat the command.", EXIT_INTERRUPTED) from None
    finally:
        infra.discard_plan()
    console.say("done")
    return plan, True


def _stop_at_certain_failures(infra: Infrastructure) -> None:
    """Raise ConfigurationError, before anything is created, if the deployment or a run after it is certain to fail."""
    refusals = infra.refusals()
    if refusals:
        problems = "\n".join(f"{finding.message} {finding.reason}" for finding in refusals)
        raise ConfigurationError(f"Nothing was changed. {problems}", refusals[0].fix)


def _question(plan: Plan) -> str:
    """Return the question.

    It names the resources that are lost for good, because colours and columns are easily overlooked.
    """
    losses = [f"{change.data_loss} ({change.resource})" for change in plan.changes if change.data_loss]
    return f"This LOSES {'; '.join(losses)}. Make these changes?" if losses else "Make these changes?"
