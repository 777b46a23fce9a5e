"""sha256 digests of bytes, files and folders; and a cheap look that tells whether files were touched."""

from __future__ import annotations

import hashlib
from pathlib import Path


def digest_bytes(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_folder(folder: Path) -> str:
    """One digest for the names and contents of all files below ``folder``."""
    rows = [f"{name}\0{digest_file(path)}\n" for name, path in _files(folder)]
    return digest_bytes("".join(rows).encode())


def stat_fingerprint(folder: Path) -> str:
    """One digest for the names, sizes and times of the files below ``folder``, whose contents are not read."""
    stats = [(name, path.stat()) for name, path in _files(folder)]
    return digest_bytes("\n".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats).encode())


def _files(folder: Path) -> list[tuple[str, Path]]:
    return sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
