"""SHA-256 digests of bytes, files and folders, and a cheap digest of stat data."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, MutableMapping
from pathlib import Path


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_folder(folder: Path, digest: Callable[[Path], str] = digest_file) -> str:
    """Return one digest of the names and contents of all files below ``folder``."""
    rows = [f"{name}\0{digest(path)}\n" for name, path in _files(folder)]
    return digest_bytes("".join(rows).encode())


def stat_digest(folder: Path) -> str:
    """Return one digest of the names, sizes, times and inodes of the files below ``folder``. Read no content."""
    stats = [(name, path.stat()) for name, path in _files(folder)]
    return digest_bytes("\n".join(f"{name}:{_look(stat)}" for name, stat in stats).encode())


def _files(folder: Path) -> list[tuple[str, Path]]:
    return sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())


# Smaller files are read in less time than a cache lookup takes.
CACHED_BYTES = 1 << 20
# A file that was changed this recently may change again with the same timestamp.
RACY_NANOSECONDS = 2 * 10**9


class DigestCache:
    """Digests of large files by path. ``entries``: each digest with the file's stat data.

    Size and modification time can be forged; the change time of the inode cannot.
    """

    def __init__(self, entries: MutableMapping[str, tuple[str, str]]) -> None:
        self.entries = entries

    def __call__(self, path: Path) -> str:
        stat = path.stat()
        if stat.st_size < CACHED_BYTES:
            return digest_file(path)
        name, look = str(path.resolve()), _look(stat)
        kept_look, kept_digest = self.entries.get(name, ("", ""))
        if kept_look == look:
            return kept_digest
        digest = digest_file(path)
        if _look(path.stat()) == look and time.time_ns() - stat.st_ctime_ns > RACY_NANOSECONDS:
            self.entries[name] = (look, digest)
        return digest


def _look(stat: os.stat_result) -> str:
    return f"{stat.st_dev}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}"
