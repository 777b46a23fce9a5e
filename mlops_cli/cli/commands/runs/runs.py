"""``mlops runs``"""

from __future__ import annotations

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json


@command("runs", "mlops runs --json", only_shows=True)
def runs(ctx: typer.Context, as_json: Json = False) -> None:
    """List all runs, the newest first."""
    from mlops_cli.console.output import run_dict, show_runs

    context, console = get_context(ctx)
    all_runs = context.backend.runs.list_runs()
    show_runs(console, all_runs)
    console.result([run_dict(run) for run in all_runs])
