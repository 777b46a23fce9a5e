"""A dataset without a schema: the unchanged files of its sources in one folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlops_cli.core.progress import Report
from mlops_cli.data.limits import CHUNK, MAX_UNPACKED, MOST_FILES
from mlops_cli.errors import MlopsError
from mlops_cli.files.archive_names import is_inside
from mlops_cli.plain_text import one_line

# Files of operating systems and tools beside a user's files. Hidden files are left out, too.
_CLUTTER = ("__MACOSX", "__pycache__", "Thumbs.db", "desktop.ini")


def is_clutter(path: PurePosixPath) -> bool:
    return any(part.startswith(".") or part in _CLUTTER for part in path.parts)


def plain_files(folder: Path) -> list[tuple[PurePosixPath, Path]]:
    """Return all files below a folder by their relative names, sorted.

    Raise MlopsError for a link, a device or a socket: it would be left out silently.
    """
    children = [(PurePosixPath(child.relative_to(folder).as_posix()), child) for child in folder.rglob("*")]
    entries = sorted((name, child) for name, child in children if not is_clutter(name))
    for _, child in entries:
        if child.is_symlink():
            raise MlopsError(f"{child} is a link, whose target may change", "put the files themselves there")
        if not child.is_dir() and not child.is_file():
            raise MlopsError(f"{child} is neither a file nor a folder", "move it out of the folder")
    return [(name, child) for name, child in entries if child.is_file()]


class FileCollector:
    """Writes files into a folder. ``finish`` raises if there are none."""

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder, self._report = folder, report
        self._digests: dict[str, str] = {}
        self.bytes = 0
        folder.mkdir(parents=True)

    @property
    def count(self) -> int:
        return len(self._digests)

    @property
    def sha256(self) -> str:
        """One digest of the names and contents of all files, the same as ``hashing.digest_folder``."""
        lines = [f"{name}\0{digest}\n" for name, digest in sorted(self._digests.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def add_folder(self, folder: Path) -> None:
        for name, file in plain_files(folder):
            with file.open("rb") as stream:
                self.add(name, stream, str(folder))

    def add_file(self, path: Path, name: str) -> None:
        with path.open("rb") as stream:
            self.add(PurePosixPath(name), stream, str(path))

    def add(self, name: PurePosixPath, stream: BinaryIO, source: str) -> None:
        """Write a file. Raise MlopsError for an invalid name, or one that exists already."""
        _check_name(name, source)
        key, path = name.as_posix(), self._folder / name
        if key in self._digests or path.exists():
            raise MlopsError(f"{source}: the file {one_line(key)} occurs twice", "rename one of them")
        if self.count == MOST_FILES:
            raise MlopsError(f"{source} has more than {MOST_FILES:,} files", "pack them into fewer, such as Parquet")
        if any(str(parent) in self._digests for parent in name.parents):
            raise MlopsError(f"{source}: {one_line(key)} is below a file of the same name", "rename one of them")
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with path.open("xb") as out:
            for chunk in _chunks(stream):
                digest.update(chunk)
                out.write(chunk)
                self.bytes += len(chunk)
                if self.bytes > MAX_UNPACKED:
                    raise MlopsError(f"{source} has more than {MAX_UNPACKED:,} bytes", "give less of it")
            out.flush()
            os.fsync(out.fileno())
        self._digests[key] = digest.hexdigest()
        self._report("copy", self.count, None, "files")

    def finish(self, sources: str) -> None:
        if not self._digests:
            shutil.rmtree(self._folder)
            raise MlopsError(f"{sources} has no files", "give a file, or a folder with files")


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _check_name(name: PurePosixPath, source: str) -> None:
    """Raise MlopsError for a name outside of the folder, or one that some systems or S3 do not support."""
    text = name.as_posix()
    is_outside = not is_inside(text) or ":" in (name.parts or ("",))[0] or not name.parts
    if is_outside:
        raise MlopsError(
            f"{source} is refused: its entry {text!r} is a path out of the archive",
            "get the archive from a source you trust",
        )
    if not text.isprintable() or "\\" in text:
        raise MlopsError(f"{source}: {text!r} is not a valid file name on every system", "rename it")
