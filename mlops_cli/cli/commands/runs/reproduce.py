"""``mlops reproduce``"""

from __future__ import annotations

import typer

from mlops_cli.cli.app import command, get_context, show_account, show_undeployed_settings
from mlops_cli.cli.options import Json, RunId, Yes, YesCost
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_STAGE_FAILED, MlopsError


@command("reproduce", "mlops reproduce 3f2a")
def reproduce(
    ctx: typer.Context, run_id: RunId = "", yes: Yes = False, yes_cost: YesCost = False, as_json: Json = False
) -> None:
    """Train a run's model again and compare digests and metrics."""
    from mlops_cli.backends.base import CostScope
    from mlops_cli.console.reproduction import show_reproduction

    context, console = get_context(ctx)
    backend, cost_approval = context.backend, context.cost_approval(console, yes, yes_cost)
    run = backend.runs.get(run_id)
    account = show_account(backend.infra, console)
    show_undeployed_settings(backend.infra, console)
    backend.infra.require_secrets()
    where = f"as jobs on {backend.target}, without a pipeline execution" if account else "in isolation"
    console.say(f"run {run.id} is reproduced with the present scripts, settings and data, {where}")
    cost_approval.approve(backend.infra.costs(CostScope.REPRODUCTION))
    try:
        with console.run_view(explain=True) as view:
            reproduction = backend.reproductions.reproduce(run, view)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; no process is left, and the run is unchanged.",
            f"Start again: mlops reproduce {run.id}",
            EXIT_INTERRUPTED,
        ) from None
    show_reproduction(console, reproduction)
    console.result({**reproduction.to_dict(), "costs": cost_approval.to_dict()})
    if not reproduction.same:
        raise typer.Exit(EXIT_STAGE_FAILED)
