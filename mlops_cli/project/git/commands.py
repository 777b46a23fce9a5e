"""Run git on the project's own repository. In a git hook, environment variables name another repository."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.project.environment import child_environment


def author(root: Path) -> str:
    """Return the name of git's author; "" if git has none."""
    try:
        return git(root, "config", "user.name").decode(errors="replace").strip()
    except MlopsError:
        return ""


def git(root: Path, *arguments: str) -> bytes:
    """Return the output of git. Raise MlopsError, with git's message, if it fails or is not installed."""
    environment = {name: value for name, value in child_environment().items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "LANGUAGE": ""}  # git's messages in English are read below
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, env=environment, check=False)
    except FileNotFoundError:
        raise MlopsError("git is not on this machine.", "Install it, then repeat the command.") from None
    if done.returncode:
        raise _failure(root, arguments[0], done)
    return done.stdout


def _failure(root: Path, command: str, done: subprocess.CompletedProcess[bytes]) -> MlopsError:
    """Return the error with git's own reason. For a repository of another user, add the command that git names."""
    lines = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
    reasons = [line.partition(": ")[2] for line in lines if line.startswith(("fatal: ", "error: "))]
    reason = (reasons or lines[-1:] or [f"exit code {done.returncode}"])[0].rstrip(".")
    trust = next((line for line in lines if line.startswith("git config --global --add safe.directory")), "")
    hint = f"If you trust its owner: {trust}" if trust else f"Look: git -C {shlex.quote(str(root))} status"
    return MlopsError(f"git {command} failed in {root}: {reason}.", hint)
