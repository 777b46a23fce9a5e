"""The command line: one module for each command, named like it, in the folder of its group in the help.

A command parses its options, shows, asks, acts, and names the next command.
"""

from __future__ import annotations

import sys
from functools import partial

from mlops_cli.cli.app import app
from mlops_cli.cli.context import AppContext, Targets
from mlops_cli.cli.groups import register_commands
from mlops_cli.console.streams import exit_code, lost_stream, open_streams
from mlops_cli.errors import EXIT_ERROR

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
