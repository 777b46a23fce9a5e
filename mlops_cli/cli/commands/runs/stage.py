"""``mlops stage``, a hidden command, which CodeBuild steps run."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json


@command("stage", "mlops stage train --run-id 3f2a", hidden=True)
def stage(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The name of the stage.", show_default=False)],
    run_id: Annotated[str, typer.Option("--run-id", help="The id of the run.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Run one stage of a run, as a step on AWS does."""
    from mlops_cli.console.output import run_dict

    context, console = get_context(ctx)
    with console.run_view() as view:
        current = context.backend.stages.run_stage(run_id, name, view)
    console.result(run_dict(current))
