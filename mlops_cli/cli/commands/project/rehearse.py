"""``mlops rehearse``: run the other commands against a simulated AWS on this machine, and report the results."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops_cli.cli.app import command, get_context
from mlops_cli.cli.options import Json, Yes
from mlops_cli.errors import EXIT_INTERRUPTED, EXIT_STAGE_FAILED, MlopsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlops_cli.console import Console
    from mlops_cli.project.paths import Project
    from mlops_cli.rehearsal.simulated_aws import SimulatedAws


# They would beat the files that the variables name.
UNSET = ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL")


Sources = Annotated[
    list[str] | None,
    typer.Option(
        help="The data, as in download-data. Default: the project's dataset, else usecase.toml's file or sample.",
        show_default=False,
    ),
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Do not clean up; leave the simulated AWS running, and print how to use it.")
]
End = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="End the simulated AWS in DIR that --keep has left running.", show_default=False),
]


@command("rehearse", "mlops rehearse --yes")
def rehearse(
    ctx: typer.Context,
    source: Sources = None,
    keep: Keep = False,
    end: End = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Run all stages on a simulated AWS on this machine.

    The command runs the whole lifecycle with a copy of the project, and enforces the permissions of every role. It
    needs no account, Docker or network. The report names what would fail on AWS, and why.
    """
    from mlops_cli.cli.rehearsal_steps import go_through
    from mlops_cli.console.rehearsal import rehearsal_dict, show_rehearsal
    from mlops_cli.rehearsal.images import require_installed
    from mlops_cli.rehearsal.simulated_aws import require_simulator, simulated_aws

    context, console = get_context(ctx)
    if end:
        _end(console, end)
        return
    console.require_person(yes)
    context.settings.validated()
    context.use_case  # noqa: B018 (read, to raise its error)
    require_simulator()
    require_installed(context.project)
    console.say("starting a simulated AWS on this machine")
    try:
        with simulated_aws() as aws:
            variables = aws.environment()
            rehearsal, copy = go_through(aws, variables, context, console, source or [], keep, yes)
            show_rehearsal(console, rehearsal)
            kept = {"kept": _keep(console, aws, copy, variables)} if keep and copy else {}
    except KeyboardInterrupt:
        message = "Stopped; all files of the rehearsal are removed."
        raise MlopsError(message, "To start again, repeat the command.", EXIT_INTERRUPTED) from None
    console.result({**rehearsal_dict(rehearsal), **kept})
    if rehearsal.has_failed:
        raise typer.Exit(EXIT_STAGE_FAILED)


def _keep(console: Console, aws: SimulatedAws, copy: Project, variables: Mapping[str, str]) -> dict[str, Any]:
    """Leave the simulated AWS running; print and return how to use and to end it."""
    _show_kept(console, aws, copy, variables)
    aws.keep()
    return {
        "url": aws.url,
        "environment": variables,
        "project": str(copy.root),
        "pid": aws.pid,
        "end": _end_command(aws),
    }


def _show_kept(console: Console, aws: SimulatedAws, copy: Project, variables: Mapping[str, str]) -> None:
    """Print the variables that point mlops, the AWS CLI and boto3 at the simulated AWS, and the command to end it."""
    values = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
    console.say("\nThe simulated AWS keeps running. These lines let a shell use it, with mlops, aws and boto3:")
    console.say(f"unset {' '.join(UNSET)}; export {values}")
    console.say(f"mlops --project {shlex.quote(str(copy.root))} status")
    console.say("aws cloudformation list-stacks")
    console.say("""python -c 'import boto3; print(boto3.client("sagemaker").list_endpoints()["Endpoints"])'""")
    console.say("To end it and remove its files:")
    console.say(_end_command(aws))


def _end_command(aws: SimulatedAws) -> str:
    return f"mlops rehearse --end {shlex.quote(str(aws.folder))}"


def _end(console: Console, folder: Path) -> None:
    from mlops_cli.rehearsal.kept import end_kept

    try:
        was_kept = end_kept(folder)
    except KeyboardInterrupt:
        raise MlopsError(
            "Stopped; the simulated AWS may still be ending.",
            "To wait for its end, repeat the command.",
            EXIT_INTERRUPTED,
        ) from None
    console.say("ended; all its files are removed" if was_kept else f"{folder} was already removed")
    console.result({"folder": str(folder), "ended": was_kept})
