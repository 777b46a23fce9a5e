"""The command line: one module per command, named like it, in the folder of its group in the help.

A command parses its options, shows, asks, acts, and names the next command.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from importlib import import_module

from mlops_cli.cli.app import GROUPS, app
from mlops_cli.cli.context import AppContext, Targets
from mlops_cli.console.streams import exit_code, lost_stream, open_streams
from mlops_cli.errors import EXIT_ERROR

HELP = frozenset(("-h", "--help"))
__all__ = ["app", "main", "register_commands"]


def main(targets: Targets) -> None:
    open_streams()
    register_commands(sys.argv[1:])
    try:
        app(prog_name="mlops", obj=partial(AppContext, targets))
    except SystemExit as end:
        raise SystemExit(exit_code(int(end.code or 0))) from None
    except OSError as error:  # of a help page
        if error is not lost_stream():
            raise
        raise SystemExit(exit_code(EXIT_ERROR)) from None


def register_commands(words: Collection[str] = ()) -> None:
    """Import the commands that the words name, or all: for help, and if no word is a command.

    All modules, and the options of all commands, take a fifth of the start.
    """
    commands = [(folder, name) for folder, group in GROUPS.items() for name in group.commands]
    named = [(folder, name) for folder, name in commands if name in words]
    for folder, name in named if HELP.isdisjoint(words) and named else commands:
        import_module(f"{__name__}.commands.{folder}.{name.replace('-', '_')}")
