"""What git says of a project: its files, what is not tracked, and which commit stands where."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.project.git import git
from mlops_cli.project.tracked_files import walked


def _git(root: Path, *arguments: str) -> str:
    """What git prints, with the names of files as Python has them."""
    return os.fsdecode(git(root, *arguments))


def is_in_git(root: Path) -> bool:
    """Whether the project lies in a git work tree, and git is there to ask."""
    if shutil.which("git") is None or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return False
    return _git(root, "rev-parse", "--is-inside-work-tree").strip() == "true"


def list_files(root: Path) -> tuple[list[str], list[str]]:
    """The project's files, and those that it has but git does not track.

    Without git, or when git tracks none of it: all files but ignored ones, and nothing untracked.
    """
    tracked = _names(_git(root, "ls-files", "-z")) if is_in_git(root) else []
    if tracked:
        untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
        return [name for name in tracked if (root / name).exists()], _names(untracked)
    return walked(root), []


def _names(output: str) -> list[str]:
    return [name for name in output.split("\0") if name]


def pushed_head(root: Path) -> str:
    """The commit that is checked out; raises MlopsError unless all is committed and some remote has it."""
    if not is_in_git(root):
        raise MlopsError(
            f"{root} is no git repository, and the source is a connection to one.", "Clone it, or --source s3"
        )
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        raise MlopsError(
            "There are changes that are not committed; with a connection AWS gets what was pushed, nothing else.",
            "Commit and push them: git commit -a && git push",
        )
    head = _git(root, "rev-parse", "HEAD").strip()
    if not _git(root, "branch", "--remotes", "--contains", head).strip():
        raise MlopsError(
            f"The commit {head[:12]} is not pushed; with a connection AWS gets what was pushed, nothing else.",
            "Push it: git push",
        )
    return head
