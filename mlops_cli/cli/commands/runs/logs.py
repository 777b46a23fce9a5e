"""``mlops logs``"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.completion import complete_stage_names
from mlops_cli.cli.options import Json, RunId
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.errors import ConfigurationError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Runs

POLL_SECONDS = 1.0


@command("logs", "mlops logs --stage train --follow", only_shows=True)
def logs(
    ctx: typer.Context,
    run_id: RunId = "",
    stage: Annotated[
        str,
        typer.Option(
            help="The stage, for example train. Default: the one that is running, or the last one that has a log.",
            show_default=False,
            autocompletion=complete_stage_names,
        ),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow", "-f", help="Follow the log until the stage ends; without --stage, until the run stops."
        ),
    ] = False,
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
    runs = context.backend.runs
    lines = follow_run(runs, run, name) if follow and not stage else runs.read_log(run, name, follow)
    if console.as_json:
        console.result({"run": run.id, "stage": name, "lines": list(lines)})
    console.print_log(lines)


def follow_run(runs: Runs, run: Run, name: str) -> Iterator[str]:
    """Yield the lines of a stage's log, then those of the later stages, each with its name, until the run stops."""
    names = [stage.name for stage in run.stages]
    yield from runs.read_log(run, name, True)
    while True:
        run = runs.get(run.id)
        later = run.stages[names.index(name) + 1 :]
        if follower := next((stage for stage in later if _was_executed(stage)), None):
            name = follower.name
            for number, line in enumerate(runs.read_log(run, name, True)):
                yield from (f"{name}:", line) if number == 0 else (line,)
        elif run.status is Status.RUNNING:
            time.sleep(POLL_SECONDS)
        else:
            return


def _was_executed(stage: StageRun) -> bool:
    """Return True for a stage that this run executes or has executed; a reused one has the log of another run."""
    return stage.status is Status.RUNNING or (bool(stage.log) and stage.status in (Status.DONE, Status.FAILED))


def _stage_name(run: Run, name: str) -> str:
    """Return the named stage, the running one, or the last one that has a log. Raise MlopsError for an unknown name."""
    from mlops_cli.core.stages import STAGES, stage_named

    if name:
        return stage_named(name).name
    running = [stage.name for stage in run.stages if stage.status is Status.RUNNING]
    with_log = [stage.name for stage in run.stages if stage.log]
    return (running or with_log or [STAGES[0].name])[-1]
