"""Cleanup on this machine: remove everything that mlops created, keep the rest, then list everything again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.backends.local.cleanup.owned_files import folders, frame, owned_paths, unknown_paths
from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.core import cleanup_texts as texts
from mlops_cli.core.plan import Action, Change, Plan
from mlops_cli.data.metadata import load
from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import partial_files, remove_tree
from mlops_cli.files.process_identity import own_identity
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.project_lock import ProjectLock, ProjectLockedError, acquire_by_force
from mlops_cli.project.paths import STAGING, Project
from mlops_cli.project.state_dir import create_state_dir, is_state_dir
from mlops_cli.serving.control import LocalEndpoint, ServerState

STOP_SECONDS = 15.0
WRITERS_SECONDS = 10.0
PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Cleanup:
    """The cleanup of one project and everything that runs in it."""

    project: Project
    server: LocalEndpoint
    server_processes: LocalServerProcesses
    lock: ProjectLock
    children: JobProcesses
    keep_data: bool

    def plan(self) -> Plan:
        """Return the processes and files to stop and remove, and those that are kept, with reasons."""
        without_folder = [
            Change(Action.STOP, f"process {pid}", texts.WITHOUT_FOLDER)
            for pid in self.server_processes.without_folder()
        ]
        unfinished = [Change(Action.REMOVE, path.name, texts.LEFT_BY_INIT) for path in _unfinished_init(self.project)]
        if not is_state_dir(self.project):
            return Plan((*without_folder, *unfinished, *_check_owner(self.project)))
        removals, kept = _removals(self.project, self.keep_data), _kept(self.project, self.keep_data)
        return Plan((*self._processes(), *without_folder, *unfinished, *removals, *kept))

    def _processes(self) -> list[Change]:
        status, holder = self.server.status(), self.lock.holder()
        changes = []
        if holder and holder.process != own_identity():
            changes.append(Change(Action.STOP, str(holder), texts.RUNNING_HERE))
        if status.state is not ServerState.ABSENT:
            address = f" at {status.url}" if status.url else ""
            changes.append(Change(Action.STOP, f"endpoint {status.name}", f"{status.state.value}{address}"))
        for pid in {*self.children.orphans(), *self.server_processes.orphans()}:
            changes.append(Change(Action.STOP, f"process {pid}", texts.LEFT_BY_COMMAND))
        return changes

    def apply(self) -> Plan:
        """Stop, remove, list again. Return the plan that remains: it has no active changes if all went well."""
        project, lock = self.project, self.lock
        for path in _unfinished_init(project):
            remove_tree(path)
        if not is_state_dir(project):
            self.server_processes.end_without_folder()
            if _is_empty(project.state):
                project.state.rmdir()
            return self.plan()
        _unlink(path for path in (lock.path, project.endpoint, self.children.folder) if path.is_symlink())
        acquire_by_force(lock, "cleanup")
        try:
            self.server.stop(STOP_SECONDS)
            self.children.kill_orphans(owned=True)
            _remove(project, lock, self.keep_data)
            return self.plan()
        finally:
            lock.release()


def _unfinished_init(project: Project) -> list[Path]:
    return partial_files(project.root, STAGING)


def _check_owner(project: Project) -> list[Change]:
    if not os.path.lexists(project.state):
        return []
    if _is_empty(project.state):
        return [Change(Action.REMOVE, project.state.name, texts.EMPTY)]
    return [Change(Action.KEEP, str(project.state), texts.NOT_OURS_OR_LINK)]


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())


def _removals(project: Project, keep_data: bool) -> list[Change]:
    owned = owned_paths(project, keep_data)
    if not keep_data and not unknown_paths(project):
        owned = [*owned, *frame(project)]
    descriptions = {_shown(project, path): description for path, description in owned}
    return [Change(Action.REMOVE, path, description) for path, description in descriptions.items()]


def _shown(project: Project, path: Path) -> str:
    """Return the folder that commands and documentation name, rather than each file in it."""
    parts = path.relative_to(project.root).parts
    return "/".join(parts if parts[1] == project.data.name else parts[:2])


def _kept(project: Project, keep_data: bool) -> list[Change]:
    try:
        dataset = load(project.data)
    except MlopsError:  # a damaged dataset is removed anyway
        dataset = None
    kept = [Change(Action.KEEP, f"{project.scripts_dir}/, .env", texts.YOURS)]
    if dataset:
        kept.append(Change(Action.KEEP, dataset.source, texts.DATA_SOURCE))
    if keep_data:
        kept.append(Change(Action.KEEP, ".mlops/data", texts.KEEP_DATA, created_by_mlops=True))
    unknown = unknown_paths(project)
    kept += [Change(Action.KEEP, str(path.relative_to(project.root)), texts.NOT_OURS) for path in unknown]
    if unknown or keep_data:
        names = [str(path.relative_to(project.root)) for path, _ in frame(project)]
        kept += [Change(Action.KEEP, name, texts.FRAME_NEEDED, created_by_mlops=True) for name in names]
    return kept


def _remove(project: Project, lock: ProjectLock, keep_data: bool) -> None:
    """Remove mlops' files until none comes back: another command may still be writing its last file."""
    deadline = time.monotonic() + WRITERS_SECONDS
    while not _is_removed(project, lock, keep_data) and time.monotonic() < deadline:
        time.sleep(PAUSE_SECONDS)


def _is_removed(project: Project, lock: ProjectLock, keep_data: bool) -> bool:
    for path, _ in owned_paths(project, keep_data):
        with suppress(FileNotFoundError):
            remove_tree(path)
    for folder in folders(project, keep_data):
        with suppress(OSError):  # the folder is not empty
            folder.rmdir()
    if owned_paths(project, keep_data):
        return False
    return keep_data or bool(unknown_paths(project)) or _is_closed(project, lock)


def _is_closed(project: Project, lock: ProjectLock) -> bool:
    """Remove the frame and the folder. If another command has written there, restore the frame and return False."""
    _unlink(path for path, _ in frame(project))
    try:
        project.state.rmdir()
    except OSError:
        create_state_dir(project)
        lock.release()
        with suppress(ProjectLockedError):  # another command holds it, and will notice the removal or set up again
            lock.acquire("cleanup")
        return False
    return True


def _unlink(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
