"""The project's .mlops/ and its marker."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import open_unless_link, write_atomically
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.paths import Project

GIT_IGNORE = "*\n"


TRIES = 50


@contextmanager
def hold_state_dir(project: Project, lock: ProjectLock, command: str) -> Iterator[None]:
    """Hold the project's lock during the block; create .mlops/ if missing. Raise ProjectLockedError."""
    for _ in range(TRIES):
        create_state_dir(project)
        with contextlib.suppress(FileNotFoundError):  # a cleanup has finished meanwhile
            lock.acquire(command)
            if is_state_dir(project):
                break
            lock.release()
    try:
        yield
    finally:
        lock.release()


def create_state_dir(project: Project) -> None:
    """Create .mlops/ with the marker; safe to repeat."""
    check_state_dir_owner(project)
    project.state.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # a cleanup at the same time
        if not is_state_dir(project):
            with open(project.marker, "w", encoding="utf-8", opener=open_unless_link) as marker:
                marker.write(json.dumps({"made_by": "mlops", "at": time.time()}) + "\n")
        ignored = project.state / ".gitignore"
        if ignored.is_symlink() or not ignored.is_file() or ignored.read_text(errors="replace") != GIT_IGNORE:
            write_atomically(ignored, GIT_IGNORE)


def is_state_dir(project: Project) -> bool:
    """True if mlops created .mlops/; an empty marker is an interrupted write."""
    if project.state.is_symlink() or project.marker.is_symlink() or not project.marker.is_file():
        return False
    try:
        text = project.marker.read_text(encoding="utf-8", errors="replace").strip()
        document = json.loads(text or '{"made_by": "mlops"}')
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(document, dict) and document.get("made_by") == "mlops"


def check_state_dir_owner(project: Project) -> None:
    """Raise MlopsError if mlops did not create .mlops/: the marker is the first file in it."""
    state = project.state
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise MlopsError(f"{state} is not a plain folder.", "Move it away; mlops keeps its state there.")
    if state.is_dir() and not is_state_dir(project) and any(state.iterdir()) and not is_state_dir(project):
        raise MlopsError(f"{state} exists and was not made by mlops, says its project.json.", "Move it away.")
