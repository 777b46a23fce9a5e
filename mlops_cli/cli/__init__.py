"""The command line: one module per command, named like it.

A command parses its options, shows, asks, acts, and names the next command. The modules are imported in the order in
which the help lists the commands.
"""

from __future__ import annotations

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
    app(prog_name="mlops")
