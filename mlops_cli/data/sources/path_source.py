"""A path as a source: a file, or the tables in a folder."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.path_files import expanded, path_files, verify
from mlops_cli.data.sources.source import FetchedSource, Origin, Source, State
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_file

# Larger files are compared only by size and times, because reading them would delay the command.
_READ_BYTES = 256 * 2**20


class PathSource(Source):
    kind = "path"
    is_state_in_identity = True

    @staticmethod
    def accepts(name: str) -> bool:  # noqa: ARG004 (every name that is nothing else)
        return True

    def validate(self) -> None:
        if scheme := re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", self.name):
            raise ConfigurationError(
                f"no source begins with {scheme[1]}://; known are http://, https:// and s3://",
                "download the file by hand, and name it: mlops download-data --source PATH",
            )

    def identity(self) -> list[object]:
        stats = [
            (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ctime_ns)
            for path in path_files(self.name, self.request.folder, self.request.is_table)
        ]
        return [self.request.file, stats]

    def fetch(self, scratch: Path, report: Report) -> FetchedSource:  # noqa: ARG002 (reading reports itself)
        from mlops_cli.data.compression.archives import is_archive

        request = self.request
        if request.sha256 is not None:
            for path in path_files(self.name, request.folder, request.is_table):
                verify(path, request.sha256, str(path))
        origin = path_origin(self.name, request.folder, request.is_table)
        path = request.folder / expanded(self.name)
        return FetchedSource(origin, path, self.name, is_archive=is_archive(path.name) and path.is_file())

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:  # noqa: ARG004
        return _path_state(origin)


def path_origin(source: str, folder: Path, of_tables: bool = True) -> dict[str, Any]:
    """Return the stat data and digests of a path's files, taken before the files are read."""
    return {
        "kind": "path",
        "shown": source,
        "folder": str(folder.resolve()),
        "of_tables": of_tables,
        "files": [{**_look(path), "sha256": digest_file(path)} for path in path_files(source, folder, of_tables)],
    }


def _look(path: Path) -> dict[str, Any]:
    """Return the stat data. Size and mtime can be forged; the change time of the inode cannot."""
    stat = path.stat()
    return {
        "path": str(path.resolve()),
        "bytes": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
    }


def _path_state(origin: dict[str, Any]) -> State:
    paths = path_files(origin["shown"], Path(origin["folder"]), origin["of_tables"])
    before = {file["path"]: file for file in origin["files"]}
    if [str(path.resolve()) for path in paths] != list(before):
        return State.CHANGED
    for path in paths:
        recorded, look = before[str(path.resolve())], _look(path)
        if recorded["bytes"] != look["bytes"]:
            return State.CHANGED
        touched = any(recorded[name] != look[name] for name in look)
        if touched and (look["bytes"] > _READ_BYTES or digest_file(path) != recorded["sha256"]):
            return State.CHANGED
    return State.SAME
