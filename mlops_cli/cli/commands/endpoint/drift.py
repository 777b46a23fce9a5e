"""``mlops drift``"""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json
from mlops_cli.errors import EXIT_STAGE_FAILED


@command("drift", "mlops drift --days 30", only_shows=True)
def drift(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=1, max=30, help="The number of days of requests.")] = 7,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 3 if the result is to retrain.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the endpoint's requests with the training data."""
    from mlops_cli.cli.run_result import continue_newest_run
    from mlops_cli.console.drift import show_drift
    from mlops_cli.monitoring.drift import DriftStatus, compute_drift

    context, console = get_context(ctx)
    with continue_newest_run(context.backend.runs):
        result = compute_drift(context.backend.endpoint.request_statistics(days))
    show_drift(console, result)
    console.result(result.to_dict())
    if fail and result.status is DriftStatus.RETRAIN:
        raise typer.Exit(EXIT_STAGE_FAILED)
