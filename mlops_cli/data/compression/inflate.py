"""Unpack gzip and deflate as a stream, to the last byte. A missing or extra part is an error."""

from __future__ import annotations

import gzip
import io
import zlib
from typing import BinaryIO

_CHUNK = 1 << 18
_GZIP = 31
# Mail programs and FTP in text mode append line ends, and tape blocks append zeros. gunzip ignores them, too.
_PADDING = b"\0\r\n\x1a"


class Inflated(io.RawIOBase):
    """The unpacked ``stream``, by default gzip; it may have several members."""

    def __init__(self, stream: BinaryIO | io.RawIOBase, wbits: int = _GZIP) -> None:
        self._stream, self._wbits = stream, wbits
        self._unpacker = zlib.decompressobj(wbits)
        self._input = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            if self._unpacker.eof and not self._next_member():
                return 0
            packed = self._input or self._stream.read(_CHUNK) or b""
            chunk = self._unpacker.decompress(packed, len(buffer))
            self._input = self._unpacker.unconsumed_tail
            if chunk:
                buffer[: len(chunk)] = chunk
                return len(chunk)
            if not packed and not self._unpacker.eof:
                raise EOFError("it ends before its end marker")

    def _next_member(self) -> bool:
        """Return True if another member follows. Raise BadGzipFile for any other data."""
        remainder = self._unpacker.unused_data.lstrip(_PADDING)
        while not remainder:
            more = self._stream.read(_CHUNK)
            if not more:
                return False
            remainder = more.lstrip(_PADDING)
        if len(remainder) == 1:
            remainder += self._stream.read(1) or b""
        if self._wbits != _GZIP or not remainder.startswith(b"\x1f\x8b"):
            raise gzip.BadGzipFile("something else follows the packed data")
        self._unpacker, self._input = zlib.decompressobj(self._wbits), remainder
        return True
