"""Limit the bytes of one row of a CSV: Python holds a whole row in memory, with many times its bytes."""

from __future__ import annotations

import io
from typing import BinaryIO

from mlops_cli.errors import MlopsError

LONGEST_ROW = 64 * 2**20


class RowLimitedStream(io.RawIOBase):
    """A binary stream that raises MlopsError if one row has too many bytes. After each row set ``row_bytes`` to 0."""

    def __init__(self, stream: BinaryIO, source: str) -> None:
        self._stream, self._source = stream, source
        self.row_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.row_bytes += len(chunk)
        if self.row_bytes > LONGEST_ROW:
            raise MlopsError(
                f"{self._source} has a row of more than {LONGEST_ROW:,} bytes",
                "give a CSV file with one row on each line",
            )
        return len(chunk)
