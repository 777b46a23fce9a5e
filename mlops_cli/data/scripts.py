"""Descriptions of the project's scripts that write data, and the interface of their runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from mlops_cli.core.progress import Report

# Names of sources that no script can have.
RESERVED = ("kaggle",)


def is_script(name: str) -> bool:
    """Return True for a source that is the path of a script."""
    return name.endswith(".py")


@dataclass(frozen=True)
class DataScript:
    """``file``: relative to ``training/``. ``is_synthetic``: its rows are invented, so other data may replace them."""

    file: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    is_synthetic: bool = False

    def with_arguments(self, arguments: Mapping[str, str]) -> DataScript:
        """Return the script with these values for its arguments."""
        own = {name: value for name, value in arguments.items() if name in self.arguments}
        return replace(self, arguments={**self.arguments, **own})

    @property
    def shown_arguments(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.arguments.items())


class ScriptRunner(Protocol):
    """Runs one project's data scripts in ``training`` on this machine."""

    @property
    def training(self) -> Path: ...

    def inputs(self, script: DataScript) -> dict[str, str]:
        """Return the cache inputs: the script, the modules that it imports, packages, variables and arguments."""

    def run(self, name: str, script: DataScript, output: Path, report: Report) -> dict[str, str]:
        """Let the script write into ``output``. Return the digests of its modules and of the files that it has read.

        ``name``: the source's name. Raise MlopsError if the script fails or takes too long.
        """
