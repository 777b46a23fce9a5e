"""The command line: one module for each command, named like it. It parses, shows, asks, acts, and says what is next.

The modules are imported in the order in which the help lists the commands.
"""

from __future__ import annotations

from mlops_cli.cli.app import app

from mlops_cli.cli import (  # isort: skip
    init,
    quickstart,
    download_data,
    deploy_infra,
    run,
    stage,
    status,
    stop,
    runs,
    logs,
    approve,
    report,
    models,
    rollback,
    reproduce,
    test_endpoint,
    cleanup,
    drift,
    doctor,
    config,
)
from mlops_cli.streams import open_streams

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
