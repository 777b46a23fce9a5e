"""``mlops init``: add a project's missing files to a folder, completely or not at all; change no existing file."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.atomic import remove_partial_files, remove_tree
from mlops_cli.project.git.ignore_rules import is_ignored, rules_of
from mlops_cli.project.paths import STAGING, Project, is_project
from mlops_cli.project.scaffold import project_files
from mlops_cli.project.scaffold.project_files import SAMPLE, Kind
from mlops_cli.project.scripts_dir import DEFAULT, FILE, KEY, form_problem

MOST_SHOWN = 5
WORKFLOW, INSTALLED = "a workflow: local on a pull request, aws on main", "the mlops that the workflow installs"
MEANINGS = {
    ".env.example": "every setting, with its default",
    ".github": f"{WORKFLOW}; and {INSTALLED}",
    ".gitignore": "keeps .env and .mlops/ out of git",
    "data.csv": "a sample table with invented rows",
    "templates": "CloudFormation templates of the aws target",
    FILE: "the use case: data, metrics, limits",
}
SCRIPTS = "the use case: usecase.toml, scripts, gates", "the scripts and gates of the use case"


@dataclass(frozen=True)
class NewProject:
    """The files of a project by path, relative to ``folder``. ``missing``: the files to write; the others exist."""

    folder: Path
    kind: Kind
    files: Mapping[str, bytes]
    missing: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        missing = {self._entry(path) for path in self.missing}
        entries = sorted({self._entry(path) for path in self.files})
        meanings = {**MEANINGS, self.kind.scripts_dir: SCRIPTS[self.kind.marker == FILE]}
        # The workflow of a project below the repository's folder is in that folder.
        outside = {entry: WORKFLOW for entry in entries if _top(entry) == ".."}
        meanings |= {**outside, ".github": INSTALLED} if outside else {}
        return Plan(
            tuple(
                Change(Action.ADD, entry, meanings[entry])
                if entry in missing
                else Change(Action.KEEP, entry, "is there already, and stays as it is")
                for entry in entries
            )
        )

    def _entry(self, path: str) -> str:
        """Return the line of the plan for a file: the scripts' folder, or the first part of the file's path.

        A path that leads out of the folder has a line of its own.
        """
        if PurePosixPath(path).is_relative_to(self.kind.scripts_dir):
            return self.kind.scripts_dir
        return path if _top(path) == ".." else _top(path)

    @property
    def notes(self) -> list[str]:
        """Return, in words, what the folder's existing files lack for a project."""
        own = self.folder / ".gitignore"
        if ".gitignore" in self.missing or not own.is_file():
            return []
        rules = rules_of(own.read_text(encoding="utf-8", errors="replace").splitlines())
        return [] if is_ignored(rules, ".env") else ["your .gitignore does not name .env, the file for secrets; add it"]


def new_project(folder: Path, kind: Kind) -> NewProject:
    """Return the files that ``init`` writes. Raise ConfigurationError if something prevents it."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder.", "Name another one: mlops init DIR")
    if problem := form_problem(kind.scripts_dir):
        raise ConfigurationError(
            f"{KEY} {problem}.", f"Name another one: mlops init {shlex.quote(str(folder))} --scripts-dir ml"
        )
    present = is_project(folder)
    scripts = project_files.script_files(kind)
    is_finished = present and _has_content(folder / kind.marker, scripts[kind.marker])
    if present and not is_finished:
        kind = _of_existing(folder, kind)
        scripts = {kind.marker: b""}
    else:
        _check_kind(folder, kind, scripts)
        scripts = _with_free_sample(folder, scripts, kind)
        _check_scripts(folder, scripts, kind)
    files = {**scripts, **project_files.common_files(kind)}
    if kind.github:
        files |= project_files.workflow_files(kind, _below_repository(folder))
    _check_scripts_dir(folder, kind, files)
    for path in files:
        _check_way(folder, path)
    missing = sorted((path for path in files if not (folder / path).is_file()), key=lambda path: path == kind.marker)
    return NewProject(folder, kind, dict(sorted(files.items())), tuple(missing))


def existing_name(folder: Path) -> str:
    """Return the name of the use case in the folder; "" if there is none."""
    from mlops_cli.project.usecase.reader import load_use_case

    return load_use_case(Project(folder).use_case_file).name if folder.is_dir() and is_project(folder) else ""


def _check_scripts_dir(folder: Path, kind: Kind, files: Mapping[str, bytes]) -> None:
    """Raise ConfigurationError if the scripts' folder, or one above it, has the name of a project file."""
    path = PurePosixPath(kind.scripts_dir)
    if same_names := [name for name in map(str, (path, *path.parents)) if name in files]:
        raise ConfigurationError(
            f"{KEY} is {kind.scripts_dir!r}, and {same_names[0]} is a file of the project.",
            f"Name another one: {_command(folder, kind)} --scripts-dir ml",
        )


def _of_existing(folder: Path, kind: Kind) -> Kind:
    """Return the kind of the existing project in the folder."""
    from mlops_cli.project.usecase.reader import load_use_case

    project = Project(folder)
    use_case = load_use_case(project.use_case_file)
    if kind.scripts_dir not in (DEFAULT, project.scripts_dir):
        raise ConfigurationError(
            f"{folder} is a project already, with its scripts in {project.scripts_dir}/.",
            f"Move the folder, and change {project.use_case_file}; or leave --scripts-dir out.",
        )
    if kind.framework not in ("", use_case.framework.name):
        raise ConfigurationError(
            f"{folder} is a project already, of {use_case.framework.name}; init changes no file.",
            f"Another project: mlops init NAME --framework {kind.framework}. "
            f"Or change the scripts, and [model] framework in {project.use_case_file}.",
        )
    return replace(kind, name=use_case.name, framework=use_case.framework.name, scripts_dir=project.scripts_dir)


def _check_kind(folder: Path, kind: Kind, scripts: Mapping[str, bytes]) -> None:
    """Raise ConfigurationError if there is code of the user's own and no option says which model it has."""
    if kind.minimal or not folder.is_dir():
        return
    ours = {_top(path) for path in (*scripts, *project_files.common_files(kind))} | {".git", ".github"}
    names = (path.name for path in folder.iterdir() if not path.name.startswith(f"{STAGING}."))
    if foreign := sorted(name for name in names if name not in ours):
        raise ConfigurationError(
            f"{folder} already contains other files: {_shown(foreign)}. Say which framework the new use case is of.",
            _command(folder, replace(kind, framework=project_files.starters()[1])),
        )


def _with_free_sample(folder: Path, scripts: dict[str, bytes], kind: Kind) -> dict[str, bytes]:
    path = folder / SAMPLE
    is_in_the_way = SAMPLE in scripts and path.exists() and not _has_content(path, scripts[SAMPLE])
    return project_files.with_sample_beside_scripts(scripts, kind) if is_in_the_way else scripts


def _check_scripts(folder: Path, scripts: Mapping[str, bytes], kind: Kind) -> None:
    """Raise ConfigurationError if the scripts' folder has other files: they would count for the use case."""
    if (folder / kind.marker).is_file() and not _has_content(folder / kind.marker, scripts[kind.marker]):
        raise ConfigurationError(f"{folder / kind.marker} is there already.", "Move it away, or name a new folder")
    own = folder / kind.scripts_dir
    paths = (path for path in own.rglob("*") if path.is_file()) if own.is_dir() and not own.is_symlink() else ()
    names = [path.relative_to(folder).as_posix() for path in paths if "__pycache__" not in path.parts]
    foreign = sorted(name for name in names if not (name in scripts and _has_content(folder / name, scripts[name])))
    if foreign:
        raise ConfigurationError(
            f"{own} already contains other files: {_shown(foreign)}.",
            f"Name another folder for the use case's scripts: {_command(folder, kind)} --scripts-dir ml",
        )


def _command(folder: Path, kind: Kind) -> str:
    """Return the command that creates a project of this kind, without the scripts' folder."""
    framework = f" --framework {kind.framework}" if kind.framework else ""
    minimal = " --minimal" if kind.minimal and not framework else ""
    extras = f"{' --aws' if kind.aws else ''}{' --github' if kind.github else ''}"
    return f"mlops init {shlex.quote(str(folder))}{framework}{minimal}{extras}"


def _check_way(folder: Path, path: str) -> None:
    """Raise ConfigurationError for a link, or the wrong kind of file, at a file's path. Follow no link."""
    parts = PurePosixPath(path).parts
    for count in range(1, len(parts) + 1):
        target = folder.joinpath(*parts[:count])
        if target.is_symlink() and parts[count - 1] != "..":
            raise ConfigurationError(f"{target} is a link.", "Move it away, or name a new folder: mlops init DIR")
        is_inner = count < len(parts)
        if target.exists() and not (target.is_dir() if is_inner else target.is_file()):
            raise ConfigurationError(
                f"{target} must be a {'folder' if is_inner else 'file'}.",
                "Move it away, or name a new folder: mlops init DIR",
            )


def _below_repository(folder: Path) -> str:
    """Return the folder's path in its git repository; "" for the root, or without a repository."""
    path = folder.resolve()
    root = next((parent for parent in (path, *path.parents) if (parent / ".git").exists()), path)
    below = path.relative_to(root).as_posix()
    if not re.fullmatch(r"[\w./-]*", below, re.ASCII):
        raise ConfigurationError(f"A workflow cannot name the folder {below!r}.", "Use letters, digits, _, . and -.")
    return "" if below == "." else below


def write_project(project: NewProject) -> None:
    """Write the missing files. Each appears complete; the one that makes the folder a project is the last.

    After an error no new file remains. After a kill, the repeated command completes the work.
    """
    folder, staging = project.folder, project.folder / f"{STAGING}.{os.getpid()}.partial"
    placed: list[Path] = []
    new_folders: list[Path] = []
    try:
        _make_folders(folder, new_folders)
        remove_partial_files(folder, STAGING)
        if staging.exists():  # left by a killed process that had the same number
            remove_tree(staging)
        staging.mkdir()
        for number, path in enumerate(project.missing):
            (staging / str(number)).write_bytes(project.files[path])
        for number, path in enumerate(project.missing):
            _make_folders((folder / path).parent, new_folders)
            placed.append((staging / str(number)).rename(folder / path))
    except BaseException:
        remove_tree(staging)
        for file in placed:
            file.unlink()
        for new_folder in reversed(new_folders):
            with suppress(OSError):  # another `init` has put files there
                new_folder.rmdir()
        raise
    remove_tree(staging)


def _make_folders(folder: Path, new_folders: list[Path]) -> None:
    """Create the folder and those above it. Add each new one to ``new_folders``."""
    for path in reversed([parent for parent in (folder, *folder.parents) if not parent.exists()]):
        try:
            path.mkdir()
        except FileExistsError:  # another `init` runs at the same time
            continue
        new_folders.append(path)


def _top(path: str) -> str:
    return PurePosixPath(path).parts[0]


def _shown(names: list[str]) -> str:
    return ", ".join(names[:MOST_SHOWN]) + (", ..." if len(names) > MOST_SHOWN else "")


def _has_content(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
