"""The paths of a project: a folder with training/usecase.toml; mlops keeps everything for it in .mlops/."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.errors import ConfigurationError

USE_CASE = Path("training") / "usecase.toml"


@dataclass(frozen=True)
class Project:
    root: Path

    @property
    def training(self) -> Path:
        return self.root / "training"

    @property
    def state(self) -> Path:
        return self.root / ".mlops"

    @property
    def marker(self) -> Path:
        """The file that marks .mlops/ as created, and so removable, by mlops."""
        return self.state / "project.json"

    @property
    def data(self) -> Path:
        return self.state / "data"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def runs(self) -> Path:
        return self.state / "runs"

    @property
    def endpoint(self) -> Path:
        return self.state / "endpoint"

    @property
    def database(self) -> Path:
        return self.state / "state.db"

    @property
    def dotenv(self) -> Path:
        return self.root / ".env"


def named_project(folder: Path) -> Project:
    """Return the project in exactly this folder: a mistyped name must never lead to another project."""
    if not (folder / USE_CASE).is_file():
        raise ConfigurationError(
            f"There is no project in {folder}: it has no {USE_CASE}.",
            f"Check --project, or make one: mlops init {shlex.quote(str(folder))}",
        )
    return Project(folder.resolve())


def find_project(start: Path) -> Project:
    """Return the nearest project upwards from ``start``."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / USE_CASE).is_file():
            if candidate != folder:
                _check_owner(candidate)
            return Project(candidate)
    raise ConfigurationError(
        f"No project here: neither {folder} nor a folder above it has {USE_CASE}.",
        "Make one: mlops init DIR. Or change into the project's folder, or name it: mlops --project DIR ...",
    )


def _check_owner(root: Path) -> None:
    """Raise ConfigurationError for another user's project: its scripts would run as the current user."""
    strangers = {path.stat().st_uid for path in (root, root / USE_CASE)} - {os.geteuid()}
    if strangers:
        raise ConfigurationError(
            f"The project {root}, above this folder, belongs to another user (uid {min(strangers)}).",
            f"If you trust its scripts, name it: mlops --project {shlex.quote(str(root))} ...",
        )
