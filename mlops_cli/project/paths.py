"""The paths of a project: a folder with training/usecase.toml; mlops keeps everything for it in .mlops/."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.errors import ConfigurationError

USE_CASE = Path("training") / "usecase.toml"
STAGING = ".mlops-init"  # what `init` makes files in, with the number of its process


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
            f"Check --project, or create one: mlops init {shlex.quote(str(folder))}",
        )
    return Project(folder.resolve())


def find_project(start: Path) -> Project:
    """Return the nearest project upwards from ``start``. Raise ConfigurationError if another user could control it."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / USE_CASE).is_file():
            project = Project(candidate)
            # Scripts in the current folder run because the user asks for it, as with any other program.
            scripts = () if candidate == folder else (candidate, candidate / USE_CASE)
            _check_owner(
                project, scripts, f"The project {candidate}, above this folder,", "its scripts would run as you"
            )
            reason = "its records would be trusted, and its models run as you"
            _check_owner(project, (project.state,), str(project.state), reason)
            return project
    raise ConfigurationError(
        f"No project here: neither {folder} nor a folder above it has {USE_CASE}.",
        "Create one: mlops init DIR. Or change into the project's folder, or name it: mlops --project DIR ...",
    )


def _check_owner(project: Project, paths: Sequence[Path], subject: str, reason: str) -> None:
    strangers = {path.lstat().st_uid for path in paths if os.path.lexists(path)} - {os.geteuid()}
    if strangers:
        raise ConfigurationError(
            f"{subject} belongs to another user (uid {min(strangers)}): {reason}.",
            f"If you trust that user, name the project: mlops --project {shlex.quote(str(project.root))} ...",
        )
