"""What the local target needs before a run: the project's .mlops/ and the run store in it."""

from __future__ import annotations

import contextlib
import json
import time

from mlops_cli.backends.local.store import Store, check_path
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.install import install_command
from mlops_cli.plans import Action, Change, Plan
from mlops_cli.project import Project

NEEDED = ("tensorflow", "falcon", "uvicorn", "pytest")


def plan_provision(project: Project) -> Plan:
    """Raises MlopsError when the packages are missing or .mlops/ is somebody else's."""
    _check_packages()
    _check_owner(project)
    wanted = ((project.marker, "the project's state, git-ignored"), (project.database, "the run store"))
    return Plan(
        tuple(
            Change(Action.KEEP if path.exists() else Action.ADD, str(path.relative_to(project.root)), what)
            for path, what in wanted
        )
    )


def provision(project: Project) -> None:
    """Make what is missing; safe to repeat."""
    claim(project)
    Store(project.database).close()


def claim(project: Project) -> None:
    """Make the project's .mlops/ with the marker that says whose it is; safe to repeat."""
    _check_owner(project)
    project.state.mkdir(exist_ok=True)
    if not is_ours(project):
        project.marker.write_text(json.dumps({"made_by": "mlops", "at": time.time()}) + "\n")
    (project.state / ".gitignore").write_text("*\n")


def is_ours(project: Project) -> bool:
    """Whether .mlops/ is a folder that mlops made; an empty marker is one whose writing was interrupted."""
    if project.state.is_symlink() or not project.marker.is_file():
        return False
    text = project.marker.read_text(encoding="utf-8", errors="replace").strip()
    with contextlib.suppress(ValueError):
        document = json.loads(text or '{"made_by": "mlops"}')
        return isinstance(document, dict) and document.get("made_by") == "mlops"
    return False


def is_provisioned(project: Project) -> bool:
    return is_ours(project) and project.database.exists()


def require_provisioned(project: Project) -> None:
    if not is_provisioned(project):
        raise ConfigurationError("The local target is not set up in this project yet.", "Set it up: mlops deploy-infra")


def _check_owner(project: Project) -> None:
    """The marker is the first thing made, so that whatever stands beside it was made by mlops."""
    check_path(project.database)
    state = project.state
    if state.is_symlink() or (state.exists() and not state.is_dir()):
        raise MlopsError(f"{state} is not a plain folder.", "Move it away; mlops keeps its state there.")
    if state.is_dir() and not is_ours(project) and any(state.iterdir()):
        raise MlopsError(f"{state} exists and was not made by mlops, says its project.json.", "Move it away.")


def _check_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise MlopsError(
            f"The local target needs packages that are not installed: {', '.join(missing)}.",
            f"Install them: {install_command('local')}",
        )
