"""``mlops logs``"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.completion import complete_stage_names
from mlops_cli.cli.options import Json, RunId
from mlops_cli.errors import ConfigurationError

if TYPE_CHECKING:
    from mlops_cli.core.runs import Run


@command("logs", "mlops logs --stage train --follow", only_shows=True)
def logs(
    ctx: typer.Context,
    run_id: RunId = "",
    stage: Annotated[
        str,
        typer.Option(
            help="The stage, for example train. Default: the last stage that has a log.",
            show_default=False,
            autocompletion=complete_stage_names,
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the stage ends.")] = False,
    as_json: Json = False,
) -> None:
    """Print the log of a stage."""
    from difflib import get_close_matches

    from mlops_cli.core.stages import STAGES

    context, console = get_context(ctx)
    if near := get_close_matches(run_id, [each.name for each in STAGES], 1, 0.75):
        subject = f"{run_id} is a stage" if near[0] == run_id else f"{run_id!r} is like the stage {near[0]}"
        raise ConfigurationError(f"{subject}, and the argument is a run.", f"mlops logs --stage {near[0]}")
    run = context.backend.runs.get(run_id)
    name = _stage_name(run, stage)
    lines = context.backend.runs.read_log(run, name, follow)
    if console.as_json:
        console.result({"run": run.id, "stage": name, "lines": list(lines)})
    console.print_log(lines)


def _stage_name(run: Run, name: str) -> str:
    """Return the named stage, or the last stage that has a log. Raise MlopsError for an unknown name."""
    from mlops_cli.core.runs import Status
    from mlops_cli.core.stages import STAGES, stage_named

    if name:
        return stage_named(name).name
    with_log = [stage.name for stage in run.stages if stage.log or stage.status is Status.RUNNING]
    return with_log[-1] if with_log else STAGES[0].name
