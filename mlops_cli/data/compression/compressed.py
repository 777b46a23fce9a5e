"""Open the CSV in an untrusted .csv, .csv.gz or .zip file as a stream."""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from mlops_cli.data.compression.inflate import Inflated
from mlops_cli.data.limits import CHUNK, MAX_UNPACKED
from mlops_cli.errors import MlopsError

# DEFLATE reaches at most 1:1032; texts and tables stay below 1:20.
MAX_RATIO = 200
_RATIO_MATTERS_FROM = 64 * 2**20


class SizeLimitedStream(io.RawIOBase):
    """A binary stream that raises MlopsError beyond a plausible number of bytes."""

    def __init__(self, stream: BinaryIO | io.RawIOBase, source: str, packed: int | None) -> None:
        self._stream, self._source = stream, source
        self._limit = MAX_UNPACKED if packed is None else min(MAX_UNPACKED, max_unpacked(packed))
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer)) or b""
        buffer[: len(chunk)] = chunk
        self.count += len(chunk)
        if self.count > self._limit:
            raise archive_bomb_error(self._source)
        return len(chunk)


@dataclass(frozen=True)
class CsvSource:
    """One table, mostly a CSV: its name for messages, its size on disk in bytes, and a function that opens it.

    ``open`` returns the bytes of the file, and a function that returns how many bytes of ``size`` were used so far.
    ``remarks``: other content of the file that is not read.
    """

    source: str
    size: int
    _open: Callable[[], tuple[BinaryIO, Callable[[], int]]]
    remarks: tuple[str, ...] = ()
    format: str = "csv"  # or "jsonl"; "parquet" is read from ``path``
    path: Path | None = None

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
        stream, position = self._open()
        with stream:
            yield stream, position


def plain_table(path: Path, source: str) -> CsvSource:
    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        raw = path.open("rb")
        return raw, raw.tell

    return CsvSource(source, path.stat().st_size, open_)


def gzip_table(path: Path, source: str) -> CsvSource:
    size = path.stat().st_size

    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        raw = path.open("rb")
        unpacked = Inflated(raw)
        metered = SizeLimitedStream(unpacked, source, size)
        return ClosingReader(metered, (unpacked, raw)), raw.tell

    return CsvSource(source, size, open_)


class SupportsClose(Protocol):
    def close(self) -> None: ...


class ClosingReader(io.BufferedReader):
    """Closes the underlying stream, too."""

    def __init__(self, raw: io.RawIOBase, below: tuple[SupportsClose, ...]) -> None:
        super().__init__(raw, CHUNK)
        self._below = below

    def close(self) -> None:
        super().close()
        for resource in self._below:
            resource.close()


def max_unpacked(packed: int) -> int:
    """Return the limit of unpacked bytes for ``packed`` bytes."""
    return min(MAX_UNPACKED, max(_RATIO_MATTERS_FROM, packed * MAX_RATIO))


def archive_bomb_error(source: str, hint: str = "get the archive from a source you trust") -> MlopsError:
    return MlopsError(f"{source} is refused: it unpacks to more than {MAX_RATIO} times its size", hint)


# The unpackers' exceptions for broken archives. bz2 raises an OSError without a number, zip seeks before the file's
# begin.
_DAMAGE = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, struct.error, EOFError)


@contextmanager
def translate_archive_errors(source: str) -> Iterator[None]:
    """Raise MlopsError instead of the unpackers' exceptions."""
    try:
        yield
    except _DAMAGE as error:
        raise MlopsError(f"{source} is damaged or cut short: {error}", "get it again") from None
    except NotImplementedError as error:
        raise MlopsError(f"{source} cannot be unpacked: {error}", "unpack it yourself and give the CSV") from None
    except OSError as error:
        if error.errno not in (None, errno.EINVAL):
            raise
        raise MlopsError(f"{source} is damaged or cut short: {error}", "get it again") from None
