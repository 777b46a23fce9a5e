"""What the local target needs before a run: the project's .mlops/ and the run store in it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from mlops_cli.backends.local.lock import Lock
from mlops_cli.backends.local.store import Store
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files import not_followed, write_whole
from mlops_cli.install import install_command
from mlops_cli.plans import Action, Change, Plan
from mlops_cli.project import Project

NEEDED = ("tensorflow", "falcon", "uvicorn", "pytest")
GIT_IGNORE = "*\n"
TRIES = 50


def plan_provision(project: Project) -> Plan:
    """Raises MlopsError when the packages are missing, .mlops/ is somebody else's or the run store is damaged."""
    _check_packages()
    _check_owner(project)
    if is_provisioned(project):
        Store(project.database, create=False).close()
    wanted = ((project.marker, "the project's state, git-ignored"), (project.database, "the run store"))
    return Plan(
        tuple(
            Change(Action.KEEP if path.exists() else Action.ADD, str(path.relative_to(project.root)), what)
            for path, what in wanted
        )
    )


def provision(project: Project) -> None:
    """Make what is missing; safe to repeat."""
    with set_up(project, Lock(project.state / "lock"), "deploy-infra"):
        pass


@contextmanager
def set_up(project: Project, lock: Lock, command: str) -> Iterator[None]:
    """Make what is missing, and hold the project while the block runs."""
    with claimed(project, lock, command):
        if not project.database.exists():
            Store(project.database).close()
        yield


@contextmanager
def claimed(project: Project, lock: Lock, command: str) -> Iterator[None]:
    """Hold the project while the block runs, whose .mlops/ is made if there is none. Raises HeldError."""
    for _ in range(TRIES):
        claim(project)
        with contextlib.suppress(FileNotFoundError):  # a cleanup has come to its end meanwhile
            lock.acquire(command)
            if is_ours(project):
                break
            lock.release()
    try:
        yield
    finally:
        lock.release()


def claim(project: Project) -> None:
    """Make the project's .mlops/ with the marker that says whose it is; safe to repeat."""
    _check_owner(project)
    project.state.mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):  # a cleanup beside this
        if not is_ours(project):
            with open(project.marker, "w", encoding="utf-8", opener=not_followed) as marker:
                marker.write(json.dumps({"made_by": "mlops", "at": time.time()}) + "\n")
        ignored = project.state / ".gitignore"
        if ignored.is_symlink() or not ignored.is_file() or ignored.read_text(errors="replace") != GIT_IGNORE:
            write_whole(ignored, GIT_IGNORE)


def is_ours(project: Project) -> bool:
    """Whether .mlops/ is a folder that mlops made; an empty marker is one whose writing was interrupted."""
    if project.state.is_symlink() or project.marker.is_symlink() or not project.marker.is_file():
        return False
    try:
        text = project.marker.read_text(encoding="utf-8", errors="replace").strip()
        document = json.loads(text or '{"made_by": "mlops"}')
    except (FileNotFoundError, ValueError):
        return False
    return isinstance(document, dict) and document.get("made_by") == "mlops"


def is_provisioned(project: Project) -> bool:
    return is_ours(project) and project.database.exists()


def require_provisioned(project: Project) -> None:
    if not is_provisioned(project):
        raise ConfigurationError("The local target is not set up in this project yet.", "Set it up: mlops deploy-infra")
    if project.database.is_symlink():
        raise MlopsError(f"{project.database} is a link, which mlops never makes.", f"Remove it: rm {project.database}")


def _check_owner(project: Project) -> None:
    """The marker is the first thing made, so that whatever stands beside it was made by mlops."""
    state = project.state
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise MlopsError(f"{state} is not a plain folder.", "Move it away; mlops keeps its state there.")
    if state.is_dir() and not is_ours(project) and any(state.iterdir()) and not is_ours(project):
        raise MlopsError(f"{state} exists and was not made by mlops, says its project.json.", "Move it away.")


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MlopsError(
            f"The local target needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: {install_command('local')}",
        )
