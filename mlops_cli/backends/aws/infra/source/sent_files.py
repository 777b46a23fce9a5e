"""The choice of the files that may be sent to AWS: tracked by git, not secret, not data."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from mlops_cli.backends.aws.infra.source.git_files import is_in_git, list_files
from mlops_cli.caching.unsent import is_data_file
from mlops_cli.core.secrets import has_secret_content, is_secret_file
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.git.ignore_rules import walk_files

# These are never sent, even if git tracks them. Every part of a path is compared in lower case.
NEVER = (".git", ".mlops", "__pycache__", "*.pyc", ".venv", ".ds_store")
DATA_FOLDERS = ("data", "datasets")
CONFIDENTIAL = "it may hold a secret"
LINKED = "a link to somewhere else"
UNTRACKED = "git does not track it"
HEAD_BYTES = 1 << 16


def sent_code(root: Path, folder: str, may_hold_data: bool = True) -> list[str]:
    """Return the jobs' files, relative to a folder: those to be sent; in a step on AWS, all that were sent.

    A data file counts as code in the scripts' folder, but not in a shared folder.
    """
    if is_in_git(root) and (tracked := list_files(root)[0]):
        names = [name for name in tracked if name.startswith(f"{folder}/")]
    else:
        names = walk_files(root, folder, gitignore=False, clutter=())
    return [name.removeprefix(f"{folder}/") for name in names if not exclusion_reason(root, name, may_hold_data)]


def shared_code(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Return the files of the folders of [code] path, by their paths on Python's path.

    Raise ConfigurationError for two files with one name.
    """
    files: dict[str, Path] = {}
    for folder in folders:
        base = _folder_of_both(root, folder)
        for name in sent_code(base, folder.relative_to(base).as_posix(), may_hold_data=False):
            if files.setdefault(name, folder / name) != folder / name:
                raise ConfigurationError(
                    f"{files[name]} and {folder / name} would have the same path on AWS.", "Rename one of them."
                )
    return files


def outside_reasons(root: Path, folder: Path) -> tuple[dict[str, str], list[str]]:
    """Return, for files outside of the project's folder, why each is not sent ("" if it is), and untracked files.

    Their names are relative to the project, such as ../../src/shop/features.py.
    """
    base = _folder_of_both(root, folder)
    tracked, untracked = list_files(base, folder.relative_to(base).as_posix())
    named = {name: Path(os.path.relpath(base / name, root)).as_posix() for name in (*tracked, *untracked)}
    reasons = {named[name]: exclusion_reason(base, name, may_hold_data=False) for name in tracked}
    return reasons, [named[name] for name in untracked]


def _folder_of_both(root: Path, folder: Path) -> Path:
    """Return the folder that contains both the project and a folder of [code] path."""
    return Path(os.path.commonpath([root, folder]))


def exclusion_reason(root: Path, name: str, may_hold_data: bool) -> str:
    """Return why a file is not sent; empty if it is sent."""
    path, parts = root / name, PurePosixPath(name.lower()).parts
    if _matches_any(parts, NEVER):
        return "generated wherever it is needed"
    if is_secret_file(name):
        return CONFIDENTIAL
    if _is_linked(root, name) and not _is_example(root, path):
        return LINKED
    if not path.is_file():
        return "not a file"
    if not may_hold_data and (parts[0] in DATA_FOLDERS or is_data_file(parts[-1])):
        return "data: mlops download-data uploads it"
    return CONFIDENTIAL if has_secret_content(name, _head(path)) else ""


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def _matches_any(parts: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(part, pattern) for part in parts for pattern in patterns)


def _is_linked(root: Path, name: str) -> bool:
    """Return True if the file, or a folder above it within the project, is a link."""
    return (root / name).resolve() != root.resolve() / name


def _is_example(root: Path, link: Path) -> bool:
    """Return True if a link leads to a file of the project that may be sent."""
    target = link.resolve()
    if not target.is_relative_to(root.resolve()):
        return False
    return not is_secret_file(target.relative_to(root.resolve()).as_posix())
