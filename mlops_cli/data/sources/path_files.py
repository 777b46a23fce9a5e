"""Files and folders as sources: find, list and verify them."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from mlops_cli.data.files import plain_files
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file

ANOTHER = (
    "change [data] source in usecase.toml, or name another one: mlops download-data --source PATH (a file: "
    ".csv, .csv.gz, .zip, .tar, .parquet, .jsonl; a folder, a URL, s3://, kaggle or a script of the project)"
)
TABLE_ENDINGS = (".csv", ".csv.gz", ".zip")
PARQUET, JSON_LINES = (".parquet",), (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")


def expanded(source: str) -> Path:
    """Return a path in which ~ is replaced by the user's folder; the path unchanged if there is no such user."""
    return Path(os.path.expanduser(source))  # noqa: PTH111 (pathlib's raises for an unknown user)


def is_table(name: str) -> bool:
    return name.lower().endswith(TABLE_ENDINGS)


def path_files(source: str, folder: Path, of_tables: bool = True) -> list[Path]:
    """Return the files at a path: tables, or all files without ``of_tables``. Raise MlopsError if there are none.

    The path is relative to ``folder``.
    """
    path = folder / expanded(source)
    if path.is_dir():
        return folder_tables(path, source) if of_tables else [file for _, file in plain_files(path)]
    if not path.exists():
        raise MlopsError(f"there is no file {source}{_similar(path)}", ANOTHER)
    if not path.is_file():
        raise MlopsError(f"{source} is neither a file nor a folder", ANOTHER)
    return [path]


def _similar(path: Path) -> str:
    """Return a question about a file that has almost the same name as the missing one; empty if there is none."""
    names = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, 1)
    return f"; did you mean {near[0]}?" if near else ""


_UNREAD = (".csv.bz2", ".csv.xz", ".csv.zst", ".tsv", ".tsv.gz", ".tar", ".tar.gz", ".tgz", ".7z", ".rar")
_ALSO_UNREAD = (*PARQUET, *JSON_LINES, ".xlsx", ".xls", ".gz")


def folder_tables(folder: Path, source: str) -> list[Path]:
    """Return the tables of a folder. Raise MlopsError if there are none, or if a similar file would be ignored."""
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    plain = [child for child in children if child.is_file()]
    groups = (
        [child for child in plain if child.name.lower().endswith(kind)] for kind in (TABLE_ENDINGS, PARQUET, JSON_LINES)
    )
    files = next((group for group in groups if group), [])
    if not files:
        raise MlopsError(f"the folder {source} contains no .csv, .csv.gz, .zip, .parquet or .jsonl", ANOTHER)
    left_out = [child for child in children if child not in files and _looks_like_data(child)]
    if left_out:
        raise MlopsError(
            f"the folder {source} also contains {left_out[0].name}, which is not read",
            "unpack it or move it out of the folder, or name each file: mlops download-data --source A --source B",
        )
    return files


def _looks_like_data(path: Path) -> bool:
    if path.is_dir():
        return any(is_table(child.name) and not child.name.startswith(".") for child in path.iterdir())
    return path.name.lower().endswith((*_UNREAD, *_ALSO_UNREAD)) or is_table(path.name)


def verify(path: Path, expected: str, name: str) -> None:
    """Raise MlopsError unless the file has this SHA-256."""
    actual = digest_file(path)
    if actual != expected.lower():
        raise MlopsError(
            f"{name} is not the expected file: its sha256 is {actual}, not {expected.lower()}",
            "check the address and the digest, then: mlops download-data --source SOURCE --sha256 DIGEST",
        )
