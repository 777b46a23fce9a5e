"""The command line: one module per command, named like it.

A command parses its options, shows, asks, acts, and names the next command. The modules are imported in the order in
which the help lists the commands.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mlops_cli.cli.app import app
from mlops_cli.cli.commands import (
    approve,
    cleanup,
    config,
    deploy_infra,
    doctor,
    download_data,
    drift,
    init,
    logs,
    models,
    quickstart,
    rehearse,
    report,
    reproduce,
    rollback,
    run,
    runs,
    stage,
    status,
    stop,
    test_endpoint,
)
from mlops_cli.cli.stdio import open_streams

HELP = frozenset(("-h", "--help"))
__all__ = [
    "app",
    "approve",
    "cleanup",
    "config",
    "deploy_infra",
    "doctor",
    "download_data",
    "drift",
    "init",
    "logs",
    "main",
    "models",
    "quickstart",
    "rehearse",
    "report",
    "reproduce",
    "rollback",
    "run",
    "runs",
    "stage",
    "status",
    "stop",
    "test_endpoint",
]


def main() -> None:
    open_streams()
    _keep_named_commands(sys.argv[1:])
    app(prog_name="mlops")


def _keep_named_commands(words: Sequence[str]) -> None:
    """Drop the commands that no word names, except for help: to read the options of all takes a tenth of the start."""
    named = [command for command in app.registered_commands if command.name in words]
    if named and HELP.isdisjoint(words):
        app.registered_commands[:] = named
