"""The commands about runs."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated

import typer

from mlops_cli import completion
from mlops_cli.cli.app import Json, RunId, command, opened
from mlops_cli.errors import (
    EXIT_REJECTED,
    EXIT_STAGE_FAILED,
)
from mlops_cli.runs import Status

# How a run that was followed has ended, as an exit code.
ENDED_BADLY = {Status.FAILED: EXIT_STAGE_FAILED, Status.REJECTED: EXIT_REJECTED}


@command("run", "mlops run --set train.epochs=3")
def run(
    ctx: typer.Context,
    detach: Annotated[bool, typer.Option("--detach", help="Go on in the background.")] = False,
    from_stage: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="STAGE",
            help="A new run from this stage on.",
            show_default=False,
            autocompletion=completion.stage_names,
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Run every stage, changed or not.")] = False,
    explain: Annotated[bool, typer.Option("--explain", help="Say why each stage ran or was reused.")] = False,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a hyperparameter; may be repeated.",
            autocompletion=completion.hyperparameters,
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Train in N processes: --set train.workers=N."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a run, or continue the one that died.

    It stops where a person must decide. With --from, what comes before the stage is taken as it is.
    """
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import announce, report_run, start
    from mlops_cli.runs import RunRequest, parse_overrides

    session, console = opened(ctx)
    chosen = [*(set_ or []), *([f"train.workers={workers}"] if workers else [])]
    request = RunRequest(parse_overrides(chosen), from_stage, force, detach)
    announce(session.backend, console)
    # What goes on in the background logs itself, when it has ended.
    with nullcontext() if detach else session.tracked(console.say):
        found, fresh = start(session.backend, console, request, explain)
    if detach and fresh:
        console.say(f"run {found.id} goes on in the background")
        console.next("mlops logs --follow")
    else:
        report_run(session.backend, console, found)
    console.result({**run_dict(found), "changed": fresh})


@command("stage", "mlops stage train --run-id 3f2a", hidden=True)
def stage(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="The stage's name.", show_default=False)],
    run_id: Annotated[str, typer.Option("--run-id", help="The run's id.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Run one stage of a run: what a build step on AWS does, and the engine on this machine."""
    from mlops_cli.console.reports import run_dict

    session, console = opened(ctx)
    with console.run_view() as view:
        found = session.backend.run_stage(run_id, name, view)
    console.result(run_dict(found))


@command("status", "mlops status 3f2a")
def status(
    ctx: typer.Context,
    run_id: RunId = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Show a run that goes on until it rests.")] = False,
    as_json: Json = False,
) -> None:
    """Where a run and the endpoint stand."""
    from mlops_cli.console import reports
    from mlops_cli.flows import follow_run

    session, console = opened(ctx)
    found = session.backend.get_run(run_id)
    if follow:
        found = follow_run(session.backend, console, found)
    endpoint = session.backend.endpoint()
    reports.show_run(console, found, explain=console.verbose)
    reports.show_endpoint(console, endpoint)
    console.result(
        {
            "run": reports.run_dict(found),
            "endpoint": reports.endpoint_dict(endpoint),
            "manifest": session.backend.manifest(found),
        }
    )
    console.next(reports.next_command(found))
    if follow and found.status in ENDED_BADLY:
        raise typer.Exit(ENDED_BADLY[found.status])


@command("stop", "mlops stop 3f2a")
def stop(ctx: typer.Context, run_id: RunId = "", as_json: Json = False) -> None:
    """End a run that goes on, and its jobs."""
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import stop_run

    session, console = opened(ctx)
    console.result(run_dict(stop_run(session.backend, console, run_id)))


@command("runs", "mlops runs --json")
def runs(ctx: typer.Context, as_json: Json = False) -> None:
    """All runs, the newest first."""
    from mlops_cli.console.reports import run_dict, show_runs

    session, console = opened(ctx)
    found = session.backend.list_runs()
    show_runs(console, found)
    console.result([run_dict(one) for one in found])


@command("logs", "mlops logs --stage train --follow")
def logs(
    ctx: typer.Context,
    run_id: RunId = "",
    stage: Annotated[
        str,
        typer.Option(
            help="The stage, such as train; the last one with a log if left out.",
            show_default=False,
            autocompletion=completion.stage_names,
        ),
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the stage has ended.")] = False,
    as_json: Json = False,
) -> None:
    """The log of a stage."""
    from mlops_cli.flows import log_stage

    session, console = opened(ctx)
    found = session.backend.get_run(run_id)
    name = log_stage(found, stage)
    lines = session.backend.read_log(found, name, follow)
    if console.as_json:
        console.result({"run": found.id, "stage": name, "lines": list(lines)})
    for line in () if console.as_json else lines:
        typer.echo(line)
