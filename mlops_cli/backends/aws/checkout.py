"""What git says of a project: its files, what is not tracked, and which commit stands where."""

from __future__ import annotations

import os
import shutil
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.git import git

# Left out of a project without git, beside what its .gitignore says.
CLUTTER = (
    ".git", ".mlops", ".venv", "venv", "__pycache__", "*.pyc", "*.egg-info", "build", "dist", "node_modules", ".tox",
    ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".idea", ".vscode", ".DS_Store",
)  # fmt: skip


def _git(root: Path, *arguments: str) -> str:
    """What git prints, with the names of files as Python has them."""
    return os.fsdecode(git(root, *arguments))


def in_git(root: Path) -> bool:
    """Whether the project lies in a git work tree, and git is there to ask."""
    if shutil.which("git") is None or not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return False
    return _git(root, "rev-parse", "--is-inside-work-tree").strip() == "true"


def listed(root: Path) -> tuple[list[str], list[str]]:
    """The project's files, and those that it has but git does not track.

    Without git, or when git tracks none of it: all files but ignored ones, and nothing untracked.
    """
    tracked = _names(_git(root, "ls-files", "-z")) if in_git(root) else []
    if tracked:
        others = _git(root, "ls-files", "-z", "--others", "--exclude-standard")
        return [name for name in tracked if (root / name).exists()], _names(others)
    return (_walked(root) if shutil.which("git") is None else _not_ignored(root)), []


def _names(output: str) -> list[str]:
    return [name for name in output.split("\0") if name]


def _not_ignored(root: Path) -> list[str]:
    """All files but clutter and what .gitignore says, by git's own rules, in a repository that is gone afterwards."""
    excludes = [f"--exclude={pattern}" for pattern in CLUTTER]
    with tempfile.TemporaryDirectory() as folder:
        _git(root, "init", "--quiet", "--bare", folder)
        where = (f"--git-dir={folder}", f"--work-tree={root}")
        return _names(_git(root, *where, "ls-files", "-z", "--others", "--exclude-per-directory=.gitignore", *excludes))


def _walked(root: Path) -> list[str]:
    """The same without git: of .gitignore's patterns only plain names and paths are understood."""
    ignore = root / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").splitlines() if ignore.is_file() else []
    patterns = [*CLUTTER, *(line.strip().strip("/") for line in lines if line.strip() and line[0] not in "#!")]
    found = []
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        parents = [relative, *relative.parents][:-1]
        if path.is_file() and not any(_matches(one, pattern) for one in parents for pattern in patterns):
            found.append(relative.as_posix())
    return found


def _matches(path: Path, pattern: str) -> bool:
    return fnmatchcase(path.name, pattern) or fnmatchcase(path.as_posix(), pattern)


def pushed_head(root: Path) -> str:
    """The commit that is checked out; raises MlopsError unless all is committed and some remote has it."""
    if not in_git(root):
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
