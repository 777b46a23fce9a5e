"""The git state of a project: its files, its untracked files, and the commit of HEAD."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.project.git.commands import git
from mlops_cli.project.git.ignore_rules import walk_files


def _git(root: Path, *arguments: str) -> str:
    """Return git's output, with file names decoded as Python does."""
    return os.fsdecode(git(root, *arguments))


def is_in_git(root: Path) -> bool:
    """Return True if the project lies in a git work tree and git is installed."""
    if shutil.which("git") is None or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return False
    return _git(root, "rev-parse", "--is-inside-work-tree").strip() == "true"


def list_files(root: Path, below: str = ".") -> tuple[list[str], list[str]]:
    """Return the files of a folder, relative to ``root``, and those that git does not track.

    Without git, or if git tracks no file: all files except ignored ones, and no untracked files.
    """
    tracked = _names(_git(root, "ls-files", "-z", "--", below)) if is_in_git(root) else []
    if tracked:
        untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard", "--", below)
        return [name for name in tracked if (root / name).exists()], _names(untracked)
    return walk_files(root, "" if below == "." else below), []


def top_folder(root: Path) -> Path | None:
    """Return the top folder of the git work tree around the folder; None without git or a repository."""
    return Path(_git(root, "rev-parse", "--show-toplevel").rstrip("\n")).resolve() if is_in_git(root) else None


def _names(output: str) -> list[str]:
    return [name for name in output.split("\0") if name]


def pushed_head(root: Path) -> str:
    """Return the commit of HEAD. Raise MlopsError unless everything is committed and pushed to a remote."""
    if not is_in_git(root):
        raise MlopsError(
            f"{root} is not a git repository, and SOURCE=connection needs one.",
            "Clone it, or send the files themselves: mlops deploy-infra --source s3",
        )
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        raise MlopsError(
            "There are uncommitted changes; with a connection AWS uses only pushed commits.",
            "Commit and push them: git commit -a && git push",
        )
    head = _git(root, "rev-parse", "HEAD").strip()
    if not _git(root, "branch", "--remotes", "--contains", head).strip():
        raise MlopsError(
            f"The commit {head[:12]} is not pushed; with a connection AWS uses only pushed commits.",
            "Push it: git push",
        )
    return head
