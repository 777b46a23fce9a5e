"""``mlops report``"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, RunId
from mlops_cli.errors import MlopsError


@command("report", "mlops report --open")
def report(
    ctx: typer.Context,
    run_id: RunId = "",
    in_browser: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write the evidence of a run as one HTML page."""
    import webbrowser

    from mlops_cli.console.output import next_command
    from mlops_cli.core.runs import Status

    context, console = get_context(ctx)
    run = context.backend.runs.get(run_id)
    address = context.backend.approvals.report(run)
    console.say(f"report of run {run.id}: ", address)
    if in_browser and not webbrowser.open(address):
        raise MlopsError("No browser was found on this machine.", f"Open the report elsewhere: {address}")
    if run.status is Status.WAITING:
        console.next(next_command(run))
    console.result({"run": run.id, "opened": in_browser}, report=address)
