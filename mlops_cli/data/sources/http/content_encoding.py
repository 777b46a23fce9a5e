"""Undo the Content-Encoding of a downloaded file."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import BinaryIO

from mlops_cli.data.compression.compressed import SizeLimitedStream, translate_archive_errors
from mlops_cli.data.compression.inflate import Inflated
from mlops_cli.data.limits import CHUNK
from mlops_cli.errors import MlopsError

_GZIP = ("gzip", "x-gzip")
# With these the content is not encoded: S3 keeps the framing of an upload here, other servers a charset.
_PLAIN = ("", "identity", "none", "binary", "aws-chunked", "utf-8", "utf8")


def codings_of(header: str, name: str) -> list[str]:
    """Return the codings of a Content-Encoding in the order in which they were applied.

    Raise MlopsError for an unsupported one.
    """
    codings = [coding.strip().lower() for coding in header.split(",")]
    codings = [coding for coding in codings if coding not in _PLAIN]
    for coding in codings:
        if coding not in (*_GZIP, "deflate"):
            raise MlopsError(
                f"{name} is sent with the Content-Encoding {coding[:40]!r}, which cannot be undone",
                "download it by hand and give the path: mlops download-data --source PATH",
            )
    return codings


def decode(path: Path, codings: list[str], name: str, target: Path) -> None:
    """Decode ``path`` into ``target``. Raise MlopsError if it is damaged or a decompression bomb."""
    size = path.stat().st_size
    with translate_archive_errors(name), path.open("rb") as raw, target.open("wb") as out:
        stream: BinaryIO = raw
        for coding in reversed(codings):
            unpacked = _undone(stream, coding)
            if unpacked is not None:
                stream = io.BufferedReader(SizeLimitedStream(unpacked, name, size), CHUNK)
        while chunk := stream.read(CHUNK):
            out.write(chunk)


def _undone(stream: BinaryIO, coding: str) -> Inflated | None:
    """Return None for a file that is not compressed: some servers name a coding that they have already undone."""
    head = stream.peek(2)[:2]  # type: ignore[attr-defined]
    if coding in _GZIP:
        return Inflated(stream) if head == b"\x1f\x8b" else None
    has_zlib_header = len(head) == 2 and head[0] & 0x0F == 8 and int.from_bytes(head, "big") % 31 == 0
    return Inflated(stream, zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS)
