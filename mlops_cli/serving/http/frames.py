"""Frames on the socket between the HTTP front and a worker: a number, JSON fields, a body."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

HEADER = struct.Struct("<QII")
# Number of a worker's messages about itself; requests count from 1.
NEWS = 0


class Frame(NamedTuple):
    """``number``: the request's number. ``fields``: None if the request is given up."""

    number: int
    fields: Any
    body: bytes


def pack_frame(number: int, fields: object, body: bytes = b"") -> bytes:
    text = b"" if fields is None else json.dumps(fields).encode()
    return b"".join((HEADER.pack(number, len(text), len(body)), text, body))


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes."""
        self._buffer += data
        start = 0
        while len(self._buffer) >= start + HEADER.size:
            number, fields_size, body_size = HEADER.unpack_from(self._buffer, start)
            body_start = start + HEADER.size + fields_size
            end = body_start + body_size
            if len(self._buffer) < end:
                break
            text = bytes(self._buffer[start + HEADER.size : body_start])
            yield Frame(number, json.loads(text) if text else None, bytes(self._buffer[body_start:end]))
            start = end
        del self._buffer[:start]
