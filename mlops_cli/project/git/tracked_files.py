"""The files of a folder that git would track: by git in a repository, otherwise by the rules of .gitignore."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.project.git.commands import git
from mlops_cli.project.git.ignore_rules import CLUTTER_RULES, MADE_ANEW_RULES, is_ignored, walk_files


def tracked_or_new_files(root: Path, below: str) -> list[str]:
    """Return the files below a folder that git tracks or would track, relative to ``root``."""
    return _git_files(root, below) or walk_files(root, below)


def _git_files(root: Path, below: str) -> list[str]:
    """Return git's list of files; empty without git or a repository, if git fails, or if all files are ignored."""
    if shutil.which("git") is None or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return []
    try:
        listing = os.fsdecode(git(root, "ls-files", "-z", "-t", "-c", "-o", "--exclude-standard", "--", below))
    except MlopsError:
        return []
    names: set[str] = set()
    for tag, _, name in (line.partition(" ") for line in listing.split("\0") if line):
        rules = CLUTTER_RULES if tag == "?" else MADE_ANEW_RULES
        if any(is_ignored(rules, part) for part in name.split("/")):
            continue
        # A link to a folder, or a repository in the repository, is one entry.
        names.update(walk_files(root, name) if (root / name).is_dir() else [name])
    return sorted(name for name in names if os.path.lexists(root / name))
