"""The project's .mlops/ and its marker."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG
from typing import Any

from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import open_unless_link, write_atomically
from mlops_cli.files.json_text import parse_json
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.catalog import NAME
from mlops_cli.project.use_case_name import name_in

GIT_IGNORE = "*\n"
# The folders that mlops writes into and deletes from.
FOLDERS = ("data", "data/partial", "artifacts", "runs", "endpoint", "children", "reproduction", "stage")
FILES = ("project.json", "lock", "state.db")
# Data, models, logs and decisions are only for their user.
PRIVATE = 0o700


TRIES = 50


@contextmanager
def hold_state_dir(project: Project, lock: ProjectLock, command: str) -> Iterator[None]:
    """Hold the project's lock during the block. Create .mlops/ if it is missing. Raise ProjectLockedError."""
    for _ in range(TRIES):
        create_state_dir(project)
        with contextlib.suppress(FileNotFoundError):  # a cleanup has finished since
            lock.acquire(command)
            if is_state_dir(project):
                _record_name(project)
                break
            lock.release()
    try:
        yield
    finally:
        lock.release()


def create_state_dir(project: Project) -> None:
    """Create .mlops/ with the marker. Safe to repeat."""
    check_state_dir_owner(project)
    project.state.mkdir(PRIVATE, exist_ok=True)
    if project.state.stat().st_mode & ~PRIVATE & 0o777:
        with contextlib.suppress(PermissionError):  # it belongs to another user
            project.state.chmod(PRIVATE)
    with contextlib.suppress(FileNotFoundError):  # a cleanup runs at the same time
        if not is_state_dir(project):
            with open(project.marker, "w", encoding="utf-8", opener=open_unless_link) as marker:
                marker.write(_marker_text(name_in(project.use_case_file)))
        ignored = project.state / ".gitignore"
        if ignored.is_symlink() or not ignored.is_file() or ignored.read_text(errors="replace") != GIT_IGNORE:
            write_atomically(ignored, GIT_IGNORE)


def _marker_text(name: str) -> str:
    return json.dumps({"made_by": "mlops", "at": time.time(), "use_case": name}) + "\n"


def _record_name(project: Project) -> None:
    """Write the use case's present name into the marker: its resources can be removed without its usecase.toml."""
    name = name_in(project.use_case_file)
    if name and name != recorded_name(project):
        write_atomically(project.marker, _marker_text(name))


def recorded_name(project: Project) -> str:
    """Return the name of the use case that .mlops/ was last written for; "" without one."""
    name = (_marker(project) or {}).get("use_case")
    return name if isinstance(name, str) and re.fullmatch(NAME, name) else ""


def find_recorded_project(folder: Path, is_named: bool) -> Project | None:
    """Return the project without a usecase.toml whose name is recorded in .mlops/; above an unnamed folder, too.

    Only a named project may have another user's .mlops/.
    """
    folder = folder.resolve()
    for candidate in (folder, *(() if is_named else folder.parents)):
        project = Project(candidate)
        if recorded_name(project):
            return project if is_named or project.state.lstat().st_uid == os.geteuid() else None
    return None


def is_state_dir(project: Project) -> bool:
    """True if mlops created .mlops/."""
    return _marker(project) is not None


def _marker(project: Project) -> dict[str, Any] | None:
    """Return the content of the marker, None without a valid one. An empty one is an interrupted write."""
    if project.state.is_symlink() or project.marker.is_symlink() or not project.marker.is_file():
        return None
    try:
        text = project.marker.read_text(encoding="utf-8", errors="replace").strip()
        document = parse_json(text or '{"made_by": "mlops"}')
    except (FileNotFoundError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("made_by") == "mlops" else None


def check_state_dir_owner(project: Project) -> None:
    """Raise MlopsError if mlops did not create .mlops/ or a file in it. The marker is the first file."""
    check_no_links(project)
    state = project.state
    if state.exists() and not state.is_dir():
        raise MlopsError(f"{state} is not a plain folder.", "Move it away; mlops keeps its state there.")
    if state.is_dir() and not is_state_dir(project) and any(state.iterdir()) and not is_state_dir(project):
        raise MlopsError(
            f"{state} was not created by mlops: its project.json is missing or different.", "Move it away."
        )


def check_no_links(project: Project) -> None:
    """Raise MlopsError for a link, or the wrong kind of file, where mlops writes and deletes."""
    state = project.state
    modes = {path: _mode(path) for path in (state, *(state / name for name in (*FOLDERS, *FILES)))}
    at_names = [path for path, mode in modes.items() if S_ISLNK(mode)]
    parents = () if at_names else (project.runs, project.artifacts, project.endpoint, *_folders_in(project.artifacts))
    for link in (*at_names, *(entry.path for folder in parents for entry in _entries(folder) if entry.is_symlink())):
        raise MlopsError(
            f"{link} is a link, which mlops never creates: it writes and deletes nothing through a link.",
            f"Remove the link; its target stays: rm {shlex.quote(str(link))}",
        )
    for name in (*FOLDERS, *FILES):
        path, kind = state / name, "file" if name in FILES else "folder"
        if modes[path] and not (S_ISREG(modes[path]) if kind == "file" else S_ISDIR(modes[path])):
            raise MlopsError(
                f"{path} is no {kind}, so mlops did not create it.",
                f"Move it away: mv {shlex.quote(str(path))} {shlex.quote(str(project.root))}",
            )


def _mode(path: Path) -> int:
    """Return the mode of a file, a folder or the link itself; 0 if it does not exist."""
    try:
        return os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return 0
    except OSError as error:
        if error.errno == errno.ELOOP:  # a folder above is a link to itself
            return 0
        raise


def _folders_in(folder: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(folder) if entry.is_dir(follow_symlinks=False)]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder; none if cleanup has removed it."""
    try:
        return list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
