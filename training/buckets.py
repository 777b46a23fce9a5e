"""Rows on disk in buckets, each small enough for memory, for any number of rows."""

from __future__ import annotations

import io
import struct
import threading
from pathlib import Path

import polars as pl

_HEAD = struct.Struct("<qQ")  # the frame's order, and its size in bytes


def packed(frame: pl.DataFrame) -> bytes:
    """Return the frame as bytes for ``Buckets.append``."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.newest())
    return buffer.getvalue()


class Buckets:
    """Append-only files of frames in ``folder``, by number; any thread may append."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir()

    def append(self, bucket: int, order: int, frame: bytes) -> None:
        with self._lock, self._path(bucket).open("ab") as file:
            file.write(_HEAD.pack(order, len(frame)) + frame)

    def take(self, bucket: int) -> list[pl.DataFrame]:
        """Return all frames of the bucket in their order, independent of the order of appends; delete its file."""
        path = self._path(bucket)
        if not path.exists():
            return []
        frames = []
        with path.open("rb") as file:
            while head := file.read(_HEAD.size):
                order, length = _HEAD.unpack(head)
                frames.append((order, pl.read_ipc_stream(file.read(length))))
        path.unlink()
        return [frame for _, frame in sorted(frames, key=lambda entry: entry[0])]

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:05d}.arrows"
