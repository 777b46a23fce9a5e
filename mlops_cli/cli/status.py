"""``mlops status``"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, RunId
from mlops_cli.errors import EXIT_REJECTED, EXIT_STAGE_FAILED
from mlops_cli.runs import Status

# The exit code of a followed run that did not end well.
EXIT_CODES = {Status.FAILED: EXIT_STAGE_FAILED, Status.REJECTED: EXIT_REJECTED}


@command("status", "mlops status 3f2a")
def status(
    ctx: typer.Context,
    run_id: RunId = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the run until it ends or waits for approval.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the state of a run and of the endpoint."""
    from mlops_cli.console import reports

    session, console = get_context(ctx)
    run = session.backend.get_run(run_id)
    if follow:
        with console.run_view() as view:
            run = session.backend.follow(run, view)
    endpoint = session.backend.endpoint()
    reports.show_run(console, run, explain=console.verbose)
    reports.show_endpoint(console, endpoint)
    console.result(
        {
            "run": reports.run_dict(run),
            "endpoint": reports.endpoint_dict(endpoint),
            "manifest": session.backend.manifest(run),
        }
    )
    console.next(reports.next_command(run))
    if follow and run.status in EXIT_CODES:
        raise typer.Exit(EXIT_CODES[run.status])
