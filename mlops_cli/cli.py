"""The commands. Each parses, makes its calls to the backend, and reports; what they do is elsewhere."""

from __future__ import annotations

import errno
import functools
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops_cli import __version__
from mlops_cli.console import Console
from mlops_cli.errors import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    EXIT_LEFT_OVER,
    EXIT_REJECTED,
    EXIT_STAGE_FAILED,
    EXIT_USAGE,
    ConfigurationError,
    MlopsError,
)
from mlops_cli.runs import Status
from mlops_cli.session import Session
from mlops_cli.streams import open_streams

app = typer.Typer(
    help="The whole lifecycle of a machine-learning model, on this machine and on AWS, with the same commands.",
    epilog="Start here: mlops quickstart",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

# How a run that was followed has ended, as an exit code.
ENDED_BADLY = {Status.FAILED: EXIT_STAGE_FAILED, Status.REJECTED: EXIT_REJECTED}
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, alone on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Answer yes to every question.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and change nothing.")]
RunId = Annotated[str, typer.Argument(help="The start of a run's id; the newest run if left out.", show_default=False)]


def command(name: str, example: str, hidden: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command whose errors reach the user as a message, a hint and an exit code."""

    def register(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def guarded(ctx: typer.Context, *args: Any, **options: Any) -> None:
            console = Console(options.get("as_json", False), ctx.obj.quiet, ctx.obj.verbose)
            ctx.meta["console"] = console
            try:
                function(ctx, *args, **options)
            except (MlopsError, OSError, KeyboardInterrupt) as error:
                raise typer.Exit(_report(console, error)) from None

        app.command(name, epilog=f"Example: {example}", hidden=hidden)(guarded)
        return function

    return register


def _report(console: Console, error: MlopsError | OSError | KeyboardInterrupt) -> int:
    if isinstance(error, KeyboardInterrupt):
        console.error("Interrupted.", "Go on with the same command: what was finished is kept.", EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        sys.stdout = None  # the reader has left: nobody to tell, nothing to flush
        return EXIT_ERROR
    if isinstance(error, MlopsError):
        console.error(error.message, error.hint, error.exit_code)
        return error.exit_code
    console.error(f"{error.strerror or error}: {error.filename or 'no file named'}.", _hint(error), EXIT_ERROR)
    return EXIT_ERROR


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "Free some disk space, then repeat the command: what was finished is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "Make the folder writable for you, then repeat the command."
    return "Put it right, then repeat the command."


def _open(ctx: typer.Context) -> tuple[Session, Console]:
    return ctx.obj, ctx.meta["console"]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mlops {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    ctx: typer.Context,
    target: Annotated[
        str | None, typer.Option(help="Where the stages run: local or aws.", show_default="local")
    ] = None,
    project: Annotated[Path | None, typer.Option(help="The project's folder.", show_default="the current one")] = None,
    profile: Annotated[
        str | None, typer.Option(help="aws: the named profile of your credentials.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="aws: the region.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only results and errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="More detail.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    flags = {"MLOPS_TARGET": target, "AWS_PROFILE": profile, "AWS_REGION": region}
    ctx.obj = Session(flags, project, quiet, verbose)


@command("quickstart", "mlops quickstart --yes")
def quickstart(ctx: typer.Context, yes: Yes = False, as_json: Json = False) -> None:
    """From nothing to a tested endpoint, on sample data."""
    from mlops_cli.quickstart import tour

    session, console = _open(ctx)
    console.result(tour(session.backend, console, session.use_case, yes))


@command("download-data", "mlops download-data --source sample --rows 20000")
def download_data(
    ctx: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Option(help="kaggle, sample, a URL or a path; repeat it to join several."),
    ] = None,
    rows: Annotated[int | None, typer.Option(help="How many rows the sample gets.", show_default="20000")] = None,
    seed: Annotated[int, typer.Option(help="The sample's seed.")] = 42,
    sha256: Annotated[
        str | None, typer.Option(help="What the downloaded file's sha256 must be.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Get the dataset into place, checked row by row.

    Without --source from where training/usecase.toml says.
    """
    from mlops_cli.config import export_kaggle
    from mlops_cli.console.reports import show_dataset
    from mlops_cli.flows import announce

    session, console = _open(ctx)
    request = session.use_case.data_request(source or [], rows, seed, sha256)
    export_kaggle(session.settings)
    announce(session.backend, console)
    with console.progress() as report:
        dataset, changed = session.backend.put_data(request, report)
    show_dataset(console, dataset, changed)
    console.result({**asdict(dataset), "changed": changed})
    console.next("mlops run" if session.backend.is_provisioned() else "mlops deploy-infra")


@command("deploy-infra", "mlops deploy-infra --dry-run")
def deploy_infra(
    ctx: typer.Context,
    source: Annotated[
        str | None,
        typer.Option(help="aws: codecommit, s3 or connection; where the pipeline takes the project from."),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make what the target needs, shown as a plan first."""
    from mlops_cli.console.reports import plan_dict
    from mlops_cli.flows import build

    session, console = _open(ctx)
    session.flags["SOURCE"] = source
    plan, changed = build(session.backend, console, dry_run, yes)
    console.result({"place": session.backend.place(), "plan": plan_dict(plan), "changed": changed})
    console.next("mlops run")


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
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Start a run, or continue the one that died.

    It stops where a person must decide. With --from, what comes before the stage is taken as it is.
    """
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import announce, report_run, start
    from mlops_cli.runs import RunRequest, parse_overrides

    session, console = _open(ctx)
    request = RunRequest(parse_overrides(set_ or []), from_stage, force, detach)
    announce(session.backend, console)
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

    session, console = _open(ctx)
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

    session, console = _open(ctx)
    found = session.backend.get_run(run_id)
    if follow:
        found = follow_run(session.backend, console, found)
    endpoint = session.backend.endpoint()
    reports.show_run(console, found, explain=console.verbose)
    reports.show_endpoint(console, endpoint)
    console.result({"run": reports.run_dict(found), "endpoint": reports.endpoint_dict(endpoint)})
    console.next(reports.next_command(found))
    if follow and found.status in ENDED_BADLY:
        raise typer.Exit(ENDED_BADLY[found.status])


@command("runs", "mlops runs --json")
def runs(ctx: typer.Context, as_json: Json = False) -> None:
    """All runs, the newest first."""
    from mlops_cli.console.reports import run_dict, show_runs

    session, console = _open(ctx)
    found = session.backend.list_runs()
    show_runs(console, found)
    console.result([run_dict(one) for one in found])


@command("logs", "mlops logs --stage train --follow")
def logs(
    ctx: typer.Context,
    run_id: RunId = "",
    stage: Annotated[
        str, typer.Option(help="The stage, such as train; the last one with a log if left out.", show_default=False)
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the stage has ended.")] = False,
    as_json: Json = False,
) -> None:
    """The log of a stage."""
    from mlops_cli.flows import log_stage

    session, console = _open(ctx)
    found = session.backend.get_run(run_id)
    name = log_stage(found, stage)
    lines = session.backend.read_log(found, name, follow)
    if as_json:
        console.result({"run": found.id, "stage": name, "lines": list(lines)})
    for line in () if as_json else lines:
        typer.echo(line)


@command("approve", "mlops approve --run-id 3f2a --comment 'better on threat'")
def approve(
    ctx: typer.Context,
    run_id: Annotated[str, typer.Option("--run-id", help="The start of the run's id.", show_default=False)],
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the model is not deployed.")] = False,
    comment: Annotated[str, typer.Option(help="Why; recorded with your name and the time.", show_default=False)] = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """See the evidence and decide; a yes deploys."""
    from mlops_cli.console.reports import run_dict
    from mlops_cli.flows import announce, decide

    session, console = _open(ctx)
    if not run_id.strip():
        raise ConfigurationError("--run-id is empty.", "See which runs there are: mlops runs")
    announce(session.backend, console)
    found, evidence = decide(session.backend, console, run_id, not reject, comment, yes)
    console.result({**run_dict(found), "evidence": evidence.to_dict()})


@command("test-endpoint", "mlops test-endpoint --text 'You are a fool.'")
def test_endpoint(
    ctx: typer.Context,
    text: Annotated[list[str] | None, typer.Option(help="A text to predict; repeat it for several.")] = None,
    file: Annotated[Path | None, typer.Option(help="JSON instances, or one text per line.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Test the live endpoint, and what it serves."""
    from mlops_cli.console.reports import examination_dict
    from mlops_cli.flows import examine
    from mlops_cli.probe import instances_from

    session, console = _open(ctx)
    given = [*(text or []), *(instances_from(file) if file else [])]
    instances = given or list(session.use_case.examples)
    well, found = examine(session.backend, console, instances)
    console.result(examination_dict(found.endpoint, found.probe, found.gate))
    if not well:
        raise typer.Exit(EXIT_STAGE_FAILED)


@command("cleanup", "mlops cleanup --dry-run")
def cleanup(
    ctx: typer.Context,
    dry_run: DryRun = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Leave the dataset.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Remove all that mlops made, and prove it."""
    from mlops_cli.console.reports import plan_dict
    from mlops_cli.flows import clean

    session, console = _open(ctx)
    plan, left = clean(session.backend, console, dry_run, keep_data, yes)
    console.result({"plan": plan_dict(plan), "left": plan_dict(left)})
    if left.active:
        raise typer.Exit(EXIT_LEFT_OVER)


@command("config", "mlops config --json")
def config(ctx: typer.Context, as_json: Json = False) -> None:
    """Every setting and where it comes from."""
    from mlops_cli.console.reports import show_settings

    session, console = _open(ctx)
    settings = session.settings
    show_settings(console, settings)
    problems = session.problems
    console.result({"settings": settings.to_dict(), "problems": problems, "project": str(session.project.root)})
    if problems:
        console.say("\n".join(f"problem: {problem}" for problem in problems))
        raise typer.Exit(EXIT_USAGE)


def main() -> None:
    open_streams()
    app()
