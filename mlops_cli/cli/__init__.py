"""The commands. Each parses, makes its calls to the backend, and reports; what they do is elsewhere.

The modules are imported in the order in which the help names their commands.
"""

from __future__ import annotations

from mlops_cli.cli.app import app

from mlops_cli.cli import setup, runs, models, upkeep  # isort: skip
from mlops_cli.streams import open_streams

__all__ = ["app", "main", "models", "runs", "setup", "upkeep"]


def main() -> None:
    open_streams()
    app(prog_name="mlops")
