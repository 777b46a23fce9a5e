"""git on the project's own repository: inside of a hook the environment names another one."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.project.environment import child_environment


def author(root: Path) -> str:
    """Return the name of git's author; "" if git knows none."""
    try:
        return git(root, "config", "user.name").decode(errors="replace").strip()
    except MlopsError:
        return ""


def git(root: Path, *arguments: str) -> bytes:
    """Return the output of git. Raise MlopsError, with git's message, if it fails or is not installed."""
    environment = {name: value for name, value in child_environment().items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
    except FileNotFoundError:
        raise MlopsError("git is not on this machine.", "Install it, then repeat the command.") from None
    if done.returncode:
        errors = done.stderr.decode(errors="replace").strip().splitlines()
        raise MlopsError(f"git {arguments[0]} failed in {root}: {errors[-1] if errors else done.returncode}.")
    return done.stdout
