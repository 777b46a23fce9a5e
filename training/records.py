"""Read a CSV file of any size in blocks of whole records, with checks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

import usecase

BLOCK_BYTES = 4 << 20


class BadInput(Exception):
    """Invalid raw data; the message names the file, the line and the reason."""


@dataclass(frozen=True)
class Block:
    """Unparsed whole records of one file: cutting is fast, parsing is left to another thread."""

    path: Path
    header: list[str]
    start: int
    content: bytes

    def parse(self) -> pl.DataFrame:
        """Return the columns of usecase.toml, all as text. Raise BadInput for ragged rows and bad UTF-8."""
        schema = dict.fromkeys(self.header, pl.String)
        try:
            frame = pl.read_csv(self.content, has_header=False, schema=schema)
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise BadInput(f"{self.path.name}: cannot read the rows from byte {self.start} on: {reason}") from error
        return frame.select(*usecase.columns()).fill_null("")


def read_blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """Yield the file in order, in blocks of about ``size`` bytes. Raise BadInput for a missing column."""
    with path.open("rb") as file:
        header = _header(path, file.readline())
        start = file.tell()
        for content in _cut(file, size):
            yield Block(path, header, start, content)
            start += len(content)


def _header(path: Path, line: bytes) -> list[str]:
    text = line.decode("utf-8-sig", errors="replace").strip("\r\n")
    names = [name.strip('"') for name in text.split(",")]
    missing = [name for name in usecase.columns() if name not in names]
    if missing:
        raise BadInput(f"{path.name}: no column {', '.join(missing)}; the header has {', '.join(names)}")
    return names


def _cut(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield blocks that end with a record: at a line feed with an even number of quotes before it."""
    remainder = b""
    while block := file.read(size):
        block = remainder + block
        end = _end_of_records(block)
        remainder = block[end:]
        if end:
            yield block[:end]
    if remainder:
        yield remainder


def _end_of_records(block: bytes) -> int:
    """Return the position after the last whole record; ``block`` starts outside quotes."""
    end, open_quote = len(block), block.count(b'"') % 2
    while (feed := block.rfind(b"\n", 0, end)) >= 0:
        open_quote ^= block.count(b'"', feed, end) % 2
        if not open_quote:
            return feed + 1
        end = feed
    return 0
