"""Rows on disk in buckets small enough to be worked on one at a time, however many rows there are."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

_LENGTH_BYTES = 8


def packed(frame: pl.DataFrame) -> bytes:
    """The frame as bytes that ``Buckets.append`` takes."""
    buffer = io.BytesIO()
    frame.write_ipc_stream(buffer, compat_level=pl.CompatLevel.newest())
    return buffer.getvalue()


class Buckets:
    """``count`` append-only files of frames in ``folder``."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self.count = count
        folder.mkdir()

    def append(self, bucket: int, frame: bytes) -> None:
        with self._path(bucket).open("ab") as file:
            file.write(len(frame).to_bytes(_LENGTH_BYTES, "little") + frame)

    def take(self, bucket: int) -> list[pl.DataFrame]:
        """All frames of the bucket in the order in which they were appended; its file is removed."""
        path = self._path(bucket)
        if not path.exists():
            return []
        frames = []
        with path.open("rb") as file:
            while length := file.read(_LENGTH_BYTES):
                frames.append(pl.read_ipc_stream(file.read(int.from_bytes(length, "little"))))
        path.unlink()
        return frames

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket:05d}.arrows"
