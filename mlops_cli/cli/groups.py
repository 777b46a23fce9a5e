"""The commands by group, in the order of the help, and the import of their modules."""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from typing import NamedTuple

HELP = frozenset(("-h", "--help"))


class Group(NamedTuple):
    title: str
    commands: tuple[str, ...]


# By folder of commands/, in the order of the help.
GROUPS = {
    "project": Group("Project", ("init", "quickstart", "config", "doctor", "rehearse")),
    "infrastructure": Group("Data and infrastructure", ("download-data", "deploy-infra", "cleanup")),
    "runs": Group("Runs", ("run", "status", "runs", "logs", "stop", "reproduce", "stage")),
    "models": Group("Models", ("approve", "report", "models", "rollback")),
    "endpoint": Group("Endpoint", ("test-endpoint", "drift")),
}


def register_commands(words: Collection[str] = ()) -> None:
    """Import the commands that the words name; import all for the help, and if no word is a command.

    The import of all commands would take a fifth of the start.
    """
    commands = [(folder, name) for folder, group in GROUPS.items() for name in group.commands]
    named = [(folder, name) for folder, name in commands if name in words]
    for folder, name in named if HELP.isdisjoint(words) and named else commands:
        import_module(f"mlops_cli.cli.commands.{folder}.{name.replace('-', '_')}")
