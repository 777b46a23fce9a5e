"""Mistakes in a command line, reported as a message and a hint like every other error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Protocol

from mlops_cli.core.stages import STAGES
from mlops_cli.errors import ConfigurationError

NEAR = 0.75
# Typer's words, and plain ones instead.
WORDS = (
    (r"Got unexpected extra argument(?:\(s\)|s)? \((.*)\)", r"Unexpected argument \1"),
    (r"not a valid int(eger)?( range)?$", "not a whole number"),
    (r"not a valid float( range)?$", "not a number"),
    (r"not in the range x>=(\S+)$", r"less than \1"),
)


class UsageError(Protocol):
    """Typer's exception for a wrong command line. Its class differs between versions of typer."""

    ctx: Any

    def format_message(self) -> str: ...


def usage_error(error: UsageError, group: Any, words: Sequence[str]) -> ConfigurationError:
    """Return the error for a wrong command line. ``group``: the command that has all others below it."""
    command = error.ctx.command if error.ctx else group
    path = error.ctx.command_path if error.ctx else _path(words, group)
    message = error.format_message().rstrip(".")
    if unknown := re.match(r"No such command '(.*?)'", message, re.DOTALL):
        word = unknown[1] if unknown[1].strip() else repr(unknown[1])
        return ConfigurationError(f"There is no command {path} {word}.", _command_hint(unknown[1], path, command))
    option = getattr(error, "option_name", "")
    if option and message.startswith("No such option"):
        return ConfigurationError(f"{path} has no option {option}.", _option_hint(option, path, command, group))
    for pattern, plain in WORDS:
        message = re.sub(pattern, plain, message)
    hint = f"See the options of {path}: {path} --help"
    if message.startswith("Missing ") and command.epilog:
        hint = f"{command.epilog} (all options: {path} --help)"
    return ConfigurationError(f"{message}.", hint)


def _path(words: Sequence[str], group: Any) -> str:
    return next((f"mlops {word}" for word in words if word in group.commands), "mlops")


def _command_hint(word: str, path: str, group: Any) -> str:
    names = [name for name, command in group.commands.items() if not command.hidden]
    near = get_close_matches(word, names, 1, NEAR) or [name for name in names if word and name.startswith(word)]
    if near:
        return f"Did you mean {path} {near[0]}?"
    if "run" in names and word in (stage.name for stage in STAGES):
        return f"It is a stage of a run: mlops run --from {word}"
    return f"See all commands: {path} --help"


def _option_hint(option: str, path: str, command: Any, group: Any) -> str:
    if command is not group and option in _options(group):
        return f"Write it before the command: mlops {option} ... {path.partition(' ')[2]}"
    commands = [other for other, options in _all_options(group, "mlops") if option in options]
    near = get_close_matches(option, _options(command), 1, NEAR)
    if near and not commands:
        return f"Did you mean {path} {near[0]}?"
    elsewhere = f"It is an option of {', '.join(commands[:3])}. " if commands else ""
    return f"{elsewhere}See the options of {path}: {path} --help"


def _all_options(group: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each command below the group, and its options."""
    for name, command in group.commands.items():
        if not command.hidden:
            yield f"{path} {name}", _options(command)
            yield from _all_options(command, f"{path} {name}") if hasattr(command, "commands") else ()


def _options(command: Any) -> list[str]:
    return [name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)]
