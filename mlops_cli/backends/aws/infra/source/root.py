"""The path of a project within its code source: the root, or a folder of its repository."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mlops_cli.backends.aws.infra.source.git_files import top_folder
from mlops_cli.errors import ConfigurationError

CONNECTION = "connection"
PARAMETER = "ProjectPath"
# In a buildspec, these names need no quotes.
_PATH = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*/)*", re.ASCII)
ONE_REPOSITORY = "AWS gets files of the project's repository only."


def outside_folders(root: Path, folders: Sequence[Path]) -> list[Path]:
    """Return the folders of [code] path that are outside of the project's folder."""
    return [folder for folder in folders if not folder.is_relative_to(root)]


def source_root(root: Path, folders: Sequence[Path], kind: str = "") -> Path:
    """Return the folder that becomes the root of this kind of source: the project's, or its repository's.

    It is the repository's with a connection, and if scripts import packages from outside of the project's folder. Raise
    ConfigurationError for a folder that is not in the repository.
    """
    outside = outside_folders(root, folders)
    top = top_folder(root) if outside or kind == CONNECTION else None
    for folder in folders:
        _check_folder(root, folder, top)
    return top or root


def _check_folder(root: Path, folder: Path, top: Path | None) -> None:
    name = f"{os.path.relpath(folder, root)}, in [code] path of usecase.toml,"
    if folder.resolve() != folder:
        raise ConfigurationError(
            f"{name} is a link or below one: git, and so AWS, has the link but no files.",
            f"Name the folder itself: {os.path.relpath(folder.resolve(), root)}",
        )
    if folder.is_relative_to(root):
        return
    if top is None:
        raise ConfigurationError(
            f"{name} is outside of the project's folder, and no git repository has both. {ONE_REPOSITORY}",
            f"Make one, in the folder above both: git init {os.path.commonpath([root, folder])}",
        )
    if not folder.is_relative_to(top) or top_folder(folder) != top:
        raise ConfigurationError(
            f"{name} is not in the project's git repository, {top}. {ONE_REPOSITORY}",
            "Copy the folder into this repository, or publish its packages and name them in requirements.txt.",
        )


def project_path(root: Path, folders: Sequence[Path], kind: str) -> str:
    """Return the project's folder within the source, with a slash at its end; "" for the root."""
    folder = root.relative_to(source_root(root, folders, kind)).as_posix()
    path = "" if folder == "." else f"{folder}/"
    if not _PATH.fullmatch(path):
        raise ConfigurationError(
            f"The project's folder in its repository is {folder}: AWS's steps take only letters, digits, _, . and -.",
            "Give the folder another name.",
        )
    return path
