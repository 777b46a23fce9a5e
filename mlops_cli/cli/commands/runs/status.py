"""``mlops status``"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, RunId
from mlops_cli.errors import EXIT_REJECTED, EXIT_STAGE_FAILED

# The exit code if a followed run did not succeed, by its status.
EXIT_CODES = {"failed": EXIT_STAGE_FAILED, "rejected": EXIT_REJECTED}


@command("status", "mlops status 3f2a", only_shows=True)
def status(
    ctx: typer.Context,
    run_id: RunId = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow the run until it ends or waits for approval.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the state of a run and of the endpoint."""
    from mlops_cli.console import output

    context, console = get_context(ctx)
    run = context.backend.runs.get(run_id)
    if follow:
        with console.run_view() as view:
            run = context.backend.runs.follow(run, view)
    endpoint = context.backend.endpoint.status()
    output.show_run(console, run, explain=console.verbose)
    output.show_endpoint(console, endpoint)
    console.result(
        {
            "run": output.run_dict(run),
            "endpoint": output.endpoint_dict(endpoint),
            "manifest": context.backend.reproductions.manifest(run),
        }
    )
    output.show_next(console, run, endpoint)
    if follow and run.status.value in EXIT_CODES:
        raise typer.Exit(EXIT_CODES[run.status.value])
