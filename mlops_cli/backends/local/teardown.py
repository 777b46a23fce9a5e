"""Cleanup on one machine: what is ours goes, what is not stays, and the result is looked at again."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from mlops_cli.backends.base import EndpointState
from mlops_cli.backends.local.endpoint import LocalEndpoint
from mlops_cli.backends.local.lock import Lock, take_over
from mlops_cli.backends.local.process import Children
from mlops_cli.backends.local.provision import is_ours
from mlops_cli.data.manifest import CSV_NAME, JSON_NAME, PARTIAL, load
from mlops_cli.errors import MlopsError
from mlops_cli.plans import Action, Change, Plan
from mlops_cli.project import Project
from mlops_cli.seen import NAME as SEEN

STOP_SECONDS = 15.0
DATABASE = ("state.db", "state.db-wal", "state.db-shm")


def plan(project: Project, server: LocalEndpoint, lock: Lock, keep_data: bool) -> Plan:
    """What would be stopped and removed, and what stays and why."""
    if not is_ours(project):
        return Plan(tuple(_not_ours(project)))
    return Plan((*_processes(server, lock), *_removals(project, keep_data), *_kept(project, keep_data)))


def _not_ours(project: Project) -> list[Change]:
    if not os.path.lexists(project.state):
        return []
    return [Change(Action.KEEP, str(project.state), "not made by mlops, or a link")]


def _processes(server: LocalEndpoint, lock: Lock) -> list[Change]:
    status, holder = server.status(), lock.holder()
    changes = []
    if holder and holder.pid != os.getpid():
        changes.append(Change(Action.STOP, str(holder), "it works in this project"))
    if status.state is not EndpointState.ABSENT:
        changes.append(Change(Action.STOP, f"endpoint {status.name}", f"{status.state.value} at {status.url}"))
    return changes


def _removals(project: Project, keep_data: bool) -> list[Change]:
    """The marker goes last: as long as it is there, a cleanup that was killed can be repeated."""
    found = [(path, why) for path, why in _owned(project, keep_data) if os.path.lexists(path)]
    return [Change(Action.REMOVE, str(path.relative_to(project.root)), why) for path, why in found]


def _owned(project: Project, keep_data: bool) -> list[tuple[Path, str]]:
    state = project.state
    work = [
        (project.runs, "logs"),
        (project.artifacts, "models and prepared data"),
        (project.endpoint, "the endpoint's files"),
        (state / "reproduction", "a reproduction that did not end"),
        (state / "children", "process notes"),
        (state / SEEN, "what a Tab offers of aws"),
        (state / "prices.json", "AWS's prices, as they were last asked for"),
        *((state / name, "the run store") for name in DATABASE),
    ]
    if project.data.is_symlink():
        data = [(project.data, "a link; what it leads to stays")]
    else:
        data = [(project.data / name, "the dataset that download-data put here") for name in (CSV_NAME, JSON_NAME)]
        data.append((project.data / PARTIAL, "unfinished downloads"))
    frame = [
        (state / "lock", "the lock"),
        (state / ".gitignore", ""),
        (project.marker, "the project's state"),
    ]
    return work if keep_data else [*work, *data, *frame]


def _kept(project: Project, keep_data: bool) -> list[Change]:
    try:
        dataset = load(project.data)
    except MlopsError:  # damaged, and about to be removed
        dataset = None
    kept = [Change(Action.KEEP, "training/, .env", "yours")]
    if dataset:
        kept.append(Change(Action.KEEP, dataset.source, "where the data came from"))
    if keep_data:
        kept.append(Change(Action.KEEP, ".mlops/data", "--keep-data"))
    ours = {path for path, _ in _owned(project, keep_data=False)} | {project.data}
    strangers = [path for path in _children(project.state) + _children(project.data) if path not in ours]
    return kept + [Change(Action.KEEP, str(path.relative_to(project.root)), "not made by mlops") for path in strangers]


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def carry_out(project: Project, server: LocalEndpoint, lock: Lock, children: Children, keep_data: bool) -> Plan:
    """Stop, remove, look again; gives the plan that is left, empty of active changes when all went well."""
    if not is_ours(project):
        return Plan(())
    take_over(lock, "cleanup")
    try:
        for folder in (project.endpoint, project.artifacts, project.runs):
            if folder.is_symlink():  # a link is removed, never followed
                folder.unlink()
        server.stop(STOP_SECONDS)
        children.sweep()
        for path, _ in _owned(project, keep_data):
            _remove(path)
        for folder in (project.data, project.state):
            with contextlib.suppress(OSError):  # what is not ours is still in it
                folder.rmdir()
        return plan(project, server, lock, keep_data)
    finally:
        lock.release()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
