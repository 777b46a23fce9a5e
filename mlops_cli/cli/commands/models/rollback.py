"""``mlops rollback``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context, show_warnings
from mlops_cli.cli.completion import complete_approved_versions
from mlops_cli.cli.options import Comment, Json, Yes, YesCost
from mlops_cli.core.secrets import without_secrets
from mlops_cli.errors import EXIT_INTERRUPTED, ConfigurationError, MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend, RollbackPlan
    from mlops_cli.cli.cost_approval import CostApproval
    from mlops_cli.console import Console
    from mlops_cli.core.models.metric_bounds import Metrics
    from mlops_cli.core.runs import Run


@command("rollback", "mlops rollback --comment 'too many false alarms'")
def rollback(
    ctx: typer.Context,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="The version to deploy. Default: the previous live version.",
            autocompletion=complete_approved_versions,
        ),
    ] = "",
    comment: Comment = "",
    yes: Yes = False,
    yes_cost: YesCost = False,
    as_json: Json = False,
) -> None:
    """Deploy an earlier approved model again, without training."""
    from mlops_cli.console.output import run_dict

    context, console = get_context(ctx)
    cost_approval = context.cost_approval(console, yes, yes_cost)
    metrics, reason = context.use_case.metrics, without_secrets(comment)
    run = show_and_roll_back(context.backend, console, metrics, to, reason, yes, cost_approval)
    console.result({**run_dict(run), "costs": cost_approval.to_dict()})


def show_and_roll_back(
    backend: Backend,
    console: Console,
    metrics: Metrics,
    version: str,
    comment: str,
    yes: bool,
    cost_approval: CostApproval,
) -> Run:
    """Show the live model and its replacement, ask, deploy, and test the endpoint."""
    from mlops_cli.backends.base import CostScope
    from mlops_cli.cli.run_result import show_result
    from mlops_cli.console.models import show_models
    from mlops_cli.core.endpoint import EndpointState

    plan, models = backend.models.plan_rollback(version), backend.models.list_versions()
    endpoint = backend.endpoint.status()
    backend.infra.require_secrets()
    target = plan.target
    show_models(console, models, endpoint.live_digest, metrics)
    _require_reason(console, plan, comment)
    if endpoint.state is EndpointState.ABSENT:  # an existing one costs money already: costs must not delay a rollback
        cost_approval.approve(backend.infra.costs(CostScope.ENDPOINT))
    show_warnings(backend.infra, console)
    if not console.confirm(f"Deploy {target.name} of run {target.run_id} again?", yes):
        raise MlopsError("Nothing was changed.", "List the versions: mlops models")
    try:
        with console.run_view() as view:
            run = backend.models.rollback(target.digest, comment, view, plan.replaced)
    except KeyboardInterrupt:
        raise MlopsError("Stopped; the rollback is on record.", "Continue: mlops run", EXIT_INTERRUPTED) from None
    show_result(backend, console, run)
    return run


def _require_reason(console: Console, plan: RollbackPlan, comment: str) -> None:
    """Raise ConfigurationError for a new rollback to a model with a shortfall without a reason; show an earlier one."""
    from mlops_cli.core.models.approval import has_reason

    target = plan.target.name
    if plan.run_id:
        state = "is an interrupted rollback; this command completes it"
        if plan.is_done:
            state = f"has already rolled back to {target}"
        console.say(f"Run {plan.run_id} {state}. Another version: --to VERSION")
    elif plan.shortfalls and not has_reason(comment):
        raise ConfigurationError(
            f"{target} has a shortfall ({'; '.join(plan.shortfalls)}): the rollback to it needs a reason.",
            f"mlops rollback --to {target} --comment 'WHY'",
        )
