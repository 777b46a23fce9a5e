"""``mlops stop``"""

from __future__ import annotations

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, RunId


@command("stop", "mlops stop 3f2a")
def stop(ctx: typer.Context, run_id: RunId = "", as_json: Json = False) -> None:
    """Stop a run and its jobs."""
    from mlops_cli.console.output import next_command, run_dict
    from mlops_cli.core.runs import Status

    context, console = get_context(ctx)
    context.require_only_name(console)
    run = context.backend.runs.get(run_id)
    was_active = run.status in (Status.PENDING, Status.RUNNING)
    # A killed command, such as an earlier `stop`, may have left something of an interrupted run running.
    if was_active or run.status is Status.INTERRUPTED:
        run = context.backend.runs.stop(run)
    if was_active:
        console.say(f"run {run.id} is {run.status.value}")
        console.next(next_command(run))
    else:
        console.say(f"run {run.id} is {run.status.value}: nothing of it is running")
        if run.status is Status.WAITING:
            console.next(next_command(run))
    console.result(run_dict(run))
