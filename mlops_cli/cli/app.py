"""The Typer app: global options, shared parts of the commands, and the error handler."""

from __future__ import annotations

import errno
import functools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import typer.core

from mlops_cli import __version__
from mlops_cli.cli.completion import complete_targets
from mlops_cli.cli.groups import GROUPS, register_commands
from mlops_cli.cli.install_completion import completion_text, is_completion_request
from mlops_cli.console import Console
from mlops_cli.console.command_line import CommandLine
from mlops_cli.console.streams import go_on_without_output, lost_stream
from mlops_cli.core.secrets import set_known_secrets
from mlops_cli.errors import (
    EXIT_ERROR,
    EXIT_INTERRUPTED,
    MlopsError,
)
from mlops_cli.processes import interruption

if TYPE_CHECKING:
    from mlops_cli.backends.base import Infrastructure
    from mlops_cli.cli.context import AppContext

# No space: on the disk, in the quota, or for the size of a file.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CommandGroups(typer.core.TyperGroup):
    """List the commands in the help by group. Show a mistake in the command line like every other error."""

    def main(self, *args: Any, **options: Any) -> Any:
        words = sys.argv[1:]
        try:
            if is_completion_request(words):
                sys.exit(_print_completion(words))
            code = super().main(*args, **{**options, "standalone_mode": False})
        except Exception as error:
            if not hasattr(error, "format_message"):
                raise
            sys.exit(self._report_usage(error, words))
        sys.exit(code)

    def _report_usage(self, error: Any, words: list[str]) -> int:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return int(error.exit_code)
        from mlops_cli.cli.usage_errors import usage_error

        register_commands()
        as_json = any(word.partition("=")[0] == "--json" for word in words)
        return _report(Console(as_json), usage_error(error, typer.main.get_command(app), words))

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        width = formatter.width - 6 - max(map(len, self.commands))
        for group in GROUPS.values():
            commands = [(name, self.commands[name]) for name in group.commands]
            shown = [(name, command.get_short_help_str(width)) for name, command in commands if not command.hidden]
            with formatter.section(group.title):
                formatter.write_dl(shown)


def _print_completion(words: list[str]) -> int:
    try:
        typer.echo(completion_text(words))
    except (MlopsError, OSError) as error:
        return _report(Console(), error)
    return 0


app = typer.Typer(
    cls=CommandGroups,
    help="Run the whole lifecycle of a machine-learning model, on this machine or on AWS, with the same commands.",
    epilog="Start here: mlops init churn --framework sklearn",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def command(
    name: str, example: str, hidden: bool = False, only_shows: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a command. Show its errors as a message and a hint, and exit with their code.

    ``only_shows``: the command ends when its output is closed. Any other command finishes its work.
    """

    def register(function: Callable[..., None]) -> Callable[..., None]:
        app.command(name, epilog=f"Example: {example}", hidden=hidden)(handle_errors(only_shows)(function))
        return function

    return register


def handle_errors(only_shows: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def call(ctx: typer.Context, *args: Any, **options: Any) -> None:
            as_json = options["as_json"] or ctx.obj.as_json
            console = Console(as_json, ctx.obj.quiet, ctx.obj.verbose, _command_line(ctx.obj))
            ctx.meta["console"] = console
            if code := _call(console, functools.partial(function, ctx, *args, **options), ctx.obj, only_shows):
                raise typer.Exit(code)

        return call

    return decorate


def _command_line(context: AppContext) -> CommandLine:
    """Return the given command line. `init` and `rehearse --end` work in other folders than the project's."""
    commands = {name for group in GROUPS.values() for name in group.commands} - {"init"}
    return CommandLine(tuple(sys.argv[1:]), context.given_options, commands)


def _call(console: Console, function: Callable[[], None], context: AppContext, only_shows: bool) -> int:
    """Call a command's function. Return 0, or the exit code of its error."""
    try:
        try:
            interruption.interrupt_on_signals()
            if not only_shows:
                go_on_without_output()
            set_known_secrets(context.secrets)
            function()
        except (MlopsError, OSError, KeyboardInterrupt) as error:
            interruption.exit_on_signals()
            return _report(console, error)
        finally:
            interruption.exit_on_signals()
    except KeyboardInterrupt:  # a second signal before the first one was reported
        return interruption.exit_code()
    return 0


def _report(console: Console, error: MlopsError | OSError | KeyboardInterrupt) -> int:
    if isinstance(error, KeyboardInterrupt) or (isinstance(error, OSError) and _is_interrupted(error)):
        error = MlopsError("Interrupted.", "Finished work is kept. To continue, repeat the command.", EXIT_INTERRUPTED)
    if error is lost_stream():  # the exit code reports it
        return EXIT_ERROR
    if isinstance(error, MlopsError):
        code = interruption.exit_code() if error.exit_code == EXIT_INTERRUPTED else error.exit_code
        console.error(error.message, error.hint, code)
        return code
    at = f": {error.filename}" if error.filename else ""
    console.error(f"{_problem(error)}{at}.", os_error_hint(error), EXIT_ERROR)
    return EXIT_ERROR


def _is_interrupted(error: BaseException) -> bool:
    """Return True for an error during the clean-up after a signal."""
    while error.__context__ is not None:
        error = error.__context__
    return isinstance(error, KeyboardInterrupt)


def _problem(error: OSError) -> str:
    return "The disk is full" if error.errno in FULL else error.strerror or str(error)


def os_error_hint(error: OSError) -> str:
    if error.errno in FULL:
        return "Free some disk space, then repeat the command: finished work is kept."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"Make the {_missing_right(error)} for you, then repeat the command."
    return "Fix it, then repeat the command."


def _missing_right(error: OSError) -> str:
    """Return the file or folder in the error, and what this user may not do with it."""
    path = error.filename if isinstance(error.filename, str) else ""
    if not os.access(path, os.F_OK):
        return "folder writable"
    kind = "file" if Path(path).is_file() else "folder"
    if not os.access(path, os.R_OK):
        return f"{kind} readable"
    return "folder writable" if os.access(path, os.W_OK) else f"{kind} writable"


def get_context(ctx: typer.Context) -> tuple[AppContext, Console]:
    return ctx.obj, ctx.meta["console"]


def show_account(infra: Infrastructure, console: Console) -> str:
    """Show and return the account in which the command works; return "" for the local target."""
    account = infra.account_label()
    if account:
        console.say(account)
    return account


def show_undeployed_settings(infra: Infrastructure, console: Console) -> None:
    """Show the settings that have no effect before the next `deploy-infra`."""
    for difference in infra.undeployed_settings():
        console.say(f"note: {difference}")


def show_warnings(infra: Infrastructure, console: Console) -> None:
    """Show the dangers of the settings before anything is deployed."""
    for warning in infra.warnings():
        console.say(f"warning: {warning}")


def show_unsent_inputs(infra: Infrastructure, console: Console) -> None:
    """Show the inputs that the target would lack, before anything is sent to it."""
    for unsent in infra.unsent_inputs():
        console.say(f"note: {unsent}")


def _version(ctx: typer.Context, requested: bool) -> None:
    """Print the version. The option is not eager, so that --json is parsed first, in either order."""
    if requested and not ctx.resilient_parsing:
        from mlops_cli.packaging.version_info import version_info

        typer.echo(json.dumps(version_info(), indent=2) if ctx.params["as_json"] else f"mlops {__version__}")
        raise typer.Exit


@app.callback()
def main_options(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Option(help="Where the stages run: local or aws.", show_default="local", autocompletion=complete_targets),
    ] = None,
    project: Annotated[Path | None, typer.Option(help="The project's folder.", show_default="the current one")] = None,
    profile: Annotated[
        str | None, typer.Option(help="aws: the named profile of the credentials.", show_default=False)
    ] = None,
    region: Annotated[str | None, typer.Option(help="aws: the region.", show_default=False)] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print only results and errors.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print more details.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, help="Print the version.")] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            is_eager=True,
            help="Same as --json after the command. With --version, include dependency versions.",
        ),
    ] = False,
) -> None:
    flags = {"MLOPS_TARGET": target, "AWS_PROFILE": profile, "AWS_REGION": region}
    ctx.obj = ctx.obj(flags, project, quiet, verbose, as_json)  # the constructor that main passes
