"""``mlops test-endpoint``"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json
from mlops_cli.errors import EXIT_STAGE_FAILED, MlopsError, NoEndpointError

if TYPE_CHECKING:
    from mlops_cli.core.endpoint import Endpoint


@command("test-endpoint", "mlops test-endpoint --text 'You are a fool.'")
def test_endpoint(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Option(help="A text to predict. Can be repeated.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="JSON (.json, .jsonl), a table (.csv, .parquet), one text per line, or a picture.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Test the endpoint and compare its model with the approval."""
    from mlops_cli.cli.instances_file import instances_from
    from mlops_cli.cli.run_result import continue_newest_run
    from mlops_cli.console import output
    from mlops_cli.monitoring.endpoint_check import check_endpoint

    context, console = get_context(ctx)
    use_case = context.use_case
    file_instances = instances_from(file, use_case.columns, use_case.examples) if file else []
    instances = [*(text or []), *file_instances] or list(use_case.examples)
    endpoint = context.backend.endpoint.status()
    output.show_endpoint(console, endpoint)
    with continue_newest_run(context.backend.runs):
        _require_in_service(endpoint)
    predictions = check_endpoint(context.backend.endpoint, instances)
    output.show_endpoint_check(console, predictions)
    gate = context.backend.endpoint.run_gate()
    console.say(f"gate: {gate.outcome}")
    for failure in gate.failures:
        console.say(f"  - {failure}")
    console.result(output.endpoint_test_dict(endpoint, predictions, gate))
    if not endpoint.is_approved:
        console.next(endpoint.fix_command)
    if not gate.has_passed or not endpoint.is_approved:
        raise typer.Exit(EXIT_STAGE_FAILED)


def _require_in_service(endpoint: Endpoint) -> None:
    from mlops_cli.core.endpoint import EndpointState

    if endpoint.state is EndpointState.ABSENT:
        raise NoEndpointError(endpoint.name)
    if endpoint.state is not EndpointState.IN_SERVICE:
        raise MlopsError(
            f"The endpoint {endpoint.name} is {endpoint.state.value}: {endpoint.reason.rstrip('.')}.",
            f"Bring it back: {endpoint.fix_command}",
            EXIT_STAGE_FAILED,
        )
