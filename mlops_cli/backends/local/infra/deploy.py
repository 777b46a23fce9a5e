"""The state that the local target needs before a run: the project's .mlops/ and the run store in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_cli.backends.local.runs.store import RunStore, check_path
from mlops_cli.core.runs import no_run_error
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks.base import Framework
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import check_no_links, check_state_dir_owner, hold_state_dir, is_state_dir

if TYPE_CHECKING:
    from mlops_cli.core.plan import Plan

SERVER = ("falcon", "uvicorn", "pytest")


def plan_infra(project: Project, framework: Framework) -> Plan:
    """Return the plan. Raise MlopsError if packages are missing, or .mlops/ or the run store cannot be used."""
    from mlops_cli.core.plan import Action, Change, Plan

    _check_packages(framework)
    check_path(project.database)
    check_state_dir_owner(project)
    if has_infra(project):
        RunStore(project.database, create=False).close()
    entries = ((project.marker, "the project's state, git-ignored"), (project.database, "the run store"))
    return Plan(
        tuple(
            Change(Action.KEEP if path.exists() else Action.ADD, str(path.relative_to(project.root)), purpose)
            for path, purpose in entries
        )
    )


def deploy_infra(project: Project) -> None:
    """Create everything that is missing. Safe to repeat."""
    with set_up(project, ProjectLock(project.state / "lock"), "deploy-infra"):
        pass


@contextmanager
def set_up(project: Project, lock: ProjectLock, command: str) -> Iterator[None]:
    """Create everything that is missing, and hold the project's lock during the block.

    Raise ConfigurationError, before anything is created, for a path that SQLite cannot open.
    """
    check_path(project.database)
    with hold_state_dir(project, lock, command):
        if not project.database.exists():
            RunStore(project.database).close()
        yield


def has_infra(project: Project) -> bool:
    return is_state_dir(project) and project.database.exists()


def is_set_up(project: Project) -> bool:
    """Return True if the run store exists. Raise MlopsError for a link in its place."""
    check_no_links(project)
    return has_infra(project)


def require_infra(project: Project) -> None:
    if not is_set_up(project):
        raise no_run_error()


def ensure_infra(project: Project, framework: Framework) -> None:
    """Create the missing parts as ``deploy-infra`` does. Raise MlopsError as its plan does."""
    if not is_set_up(project):
        plan_infra(project, framework)
        deploy_infra(project)


def missing_packages(framework: Framework) -> list[str]:
    """Return the packages that stages and endpoint lack, by their import names, without importing them."""
    from importlib.util import find_spec

    return [name for name in (*framework.modules, *SERVER) if find_spec(name) is None]


def _check_packages(framework: Framework) -> None:
    missing = missing_packages(framework)
    if missing:
        from mlops_cli.packaging.install_hint import install_command

        raise MlopsError(
            f"The local target needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: {install_command(framework.extra)}",
        )
