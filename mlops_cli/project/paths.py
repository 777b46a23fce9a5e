"""The paths of a project: a folder with usecase.toml and scripts; .mlops/ in it has all files of mlops."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.scripts_dir import DEFAULT, FILE, KEY, named_in, scripts_dir

USE_CASE = Path(DEFAULT) / FILE
STAGING = ".mlops-init"  # the folder in which `init` writes files, with the process number in its name

# The search for projects below a folder.
SEARCHED_LEVELS, MOST_FOLDERS, MOST_NAMED = 3, 1000, 10


@dataclass(frozen=True)
class Project:
    root: Path

    @cached_property
    def scripts_dir(self) -> str:
        """The folder of the scripts, relative to the root."""
        return scripts_dir(self.root)

    @property
    def training(self) -> Path:
        return self.root / self.scripts_dir

    @cached_property
    def use_case_file(self) -> Path:
        """The project's usecase.toml: in the root if it names the scripts' folder, else in training/."""
        own = self.root / FILE
        return self.root / USE_CASE if named_in(own) is None else own

    @property
    def state(self) -> Path:
        return self.root / ".mlops"

    @property
    def marker(self) -> Path:
        """The file that shows that mlops created .mlops/ and may remove it."""
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
    """Return the project in exactly this folder: a mistyped name must never select another project."""
    if folder.is_file():
        raise ConfigurationError(
            f"--project names a file, {folder}, and not the project's folder.",
            f"Name the folder: mlops --project {shlex.quote(str(folder.parent))} ...",
        )
    if not is_project(folder):
        raise ConfigurationError(
            f"There is no project in {folder}: it has no {USE_CASE}{_unfinished(folder)}.",
            f"Check --project, or create one: mlops init {shlex.quote(str(folder))}",
        )
    return Project(folder.resolve())


def find_project(start: Path) -> Project:
    """Return the nearest project upwards from ``start``. Raise ConfigurationError if another user could control it."""
    folder = start.resolve()
    for candidate in (folder, *folder.parents):
        if is_project(candidate):
            project = Project(candidate)
            # Scripts in the current folder run because the user asks for it, as with any other program.
            scripts = () if candidate == folder else (candidate, project.use_case_file)
            _check_owner(
                project, scripts, f"The project {candidate}, above this folder,", "its scripts would run as you"
            )
            reason = "its records would be trusted, and its models run as you"
            _check_owner(project, (project.state,), str(project.state), reason)
            return project
    hint = "Create one: mlops init DIR. Or change into the project's folder, or name it: mlops --project DIR ..."
    if projects := _projects_below(folder):
        subject = "are the projects" if len(projects) > 1 else "is the project"
        name = shlex.quote(projects[0])
        hint = f"Below it there {subject} {', '.join(projects)}. Name it: mlops --project {name} ..."
    raise ConfigurationError(
        f"No project here: neither {folder} nor a folder above it has {USE_CASE}{_unfinished(folder)}.", hint
    )


def _projects_below(folder: Path) -> list[str]:
    """Return the projects some levels below the folder, relative to it; only in a git repository.

    Elsewhere (a home folder, a network drive) a search could take long, and name projects of other users.
    """
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return []
    projects: list[str] = []
    level = [folder]
    for _ in range(SEARCHED_LEVELS):
        level = [child for parent in level for child in _folders_in(parent)][:MOST_FOLDERS]
        for child in level:
            with suppress(MlopsError, OSError):
                projects += [str(child.relative_to(folder))] if is_project(child) else []
    return sorted(projects)[:MOST_NAMED]


def _folders_in(folder: Path) -> list[Path]:
    """Return the folders in a folder, but no links and no hidden ones; nothing if it cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        return [folder / name for name in sorted(names) if not name.startswith(".")]
    return []


def is_project(folder: Path) -> bool:
    """Return True for a folder with one use case. Raise ConfigurationError if it has two."""
    at_root, in_training = named_in(folder / FILE) is not None, (folder / USE_CASE).is_file()
    if at_root and in_training:
        raise ConfigurationError(
            f"{folder} has two use cases, {FILE} and {USE_CASE}.",
            f"Keep one here, and give the other a folder of its own: mlops init {shlex.quote(str(folder))}/NAME",
        )
    return at_root or in_training


def _unfinished(folder: Path) -> str:
    """Return a remark on a usecase.toml in the folder that does not name the scripts' folder."""
    return f', and {FILE} in it has no {KEY} = "FOLDER" in [code]' if (folder / FILE).is_file() else ""


def _check_owner(project: Project, paths: Sequence[Path], subject: str, reason: str) -> None:
    strangers = {path.lstat().st_uid for path in paths if os.path.lexists(path)} - {os.geteuid()}
    if strangers:
        raise ConfigurationError(
            f"{subject} belongs to another user (uid {min(strangers)}): {reason}.",
            f"If you trust that user, name the project: mlops --project {shlex.quote(str(project.root))} ...",
        )
