"""Read tar archives that may be damaged or malicious.

tarfile reads a long header into memory. At a negative size it goes back in the file, and reads the same entry without
end. Its exceptions are more than TarError: an invalid number in a header is a ValueError, a number with many digits an
OverflowError, a chain of headers about headers a RecursionError, a link to a missing entry a KeyError.
"""

from __future__ import annotations

import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlops_cli.errors import MlopsError

MALFORMED = (tarfile.TarError, ValueError, OverflowError, RecursionError, KeyError)
UNREADABLE = (*MALFORMED, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError)
# Far above any real header; it is read into memory.
_LONGEST_HEADER = 1 << 20
# Limits for reading all entries, so that a small archive fills neither the disk nor the memory.
MOST_BYTES = 20 * 1 << 30
MOST_ENTRIES = 100_000
_LONG_HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)


class CheckedHeader(tarfile.TarInfo):
    """An entry of a plausible size; raise tarfile.ReadError for any other."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        self._check_size()
        if self.type in _LONG_HEADERS and self.size > _LONGEST_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        member = super()._proc_member(archive)  # type: ignore[misc]
        member._check_size()  # a header in front of it may have changed the size
        return member  # type: ignore[no-any-return]

    def _check_size(self) -> None:
        if self.size < 0:
            raise tarfile.ReadError(f"an entry of {self.size:,} bytes")


@contextmanager
def open_tar(archive: Path, mode: str = "r", file: IO[bytes] | None = None) -> Iterator[tarfile.TarFile]:
    """Provide the open archive, read from ``file`` if given. Raise MlopsError, also in the block, if it is damaged."""
    try:
        with tarfile.open(archive, mode, file, tarinfo=CheckedHeader) as opened:  # type: ignore[call-overload]
            yield opened
    except UNREADABLE as error:
        message = f"{archive} is no readable archive: {error}"
        raise MlopsError(message, "Build the model package again.") from error


def entries(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries. Raise MlopsError if they are too many or too large for a model package."""
    total = 0
    for count, entry in enumerate(archive):
        total += entry.size
        if count >= MOST_ENTRIES or total > MOST_BYTES:
            raise MlopsError(f"{archive.name!s} is too large to be a model package.")
        yield entry
