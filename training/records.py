"""Reads a CSV file of any size in blocks of whole records, and checks what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

import usecase

BLOCK_BYTES = 4 << 20


class BadInput(Exception):
    """The raw data cannot be used; the message names the file, the place and the reason."""


@dataclass(frozen=True)
class Block:
    """Whole records of one file, not parsed yet: cutting is quick, parsing is for another thread."""

    path: Path
    header: list[str]
    start: int
    content: bytes

    def parse(self) -> pl.DataFrame:
        """The columns that usecase.toml names, all as text. Raises BadInput for ragged rows and bad UTF-8."""
        schema = dict.fromkeys(self.header, pl.String)
        try:
            frame = pl.read_csv(self.content, has_header=False, schema=schema)
        except pl.exceptions.PolarsError as error:
            reason = str(error).splitlines()[0]
            raise BadInput(f"{self.path.name}: cannot read the rows from byte {self.start} on: {reason}") from error
        return frame.select(*usecase.columns()).fill_null("")


def read_blocks(path: Path, size: int = BLOCK_BYTES) -> Iterator[Block]:
    """The file in order, in blocks of about ``size`` bytes. Raises BadInput for a missing column."""
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
    """Blocks that end where a record does: at a line feed with an even number of quotes before it."""
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
    """Just behind the last record that is whole; ``block`` starts outside quotes."""
    end, open_quote = len(block), block.count(b'"') % 2
    while (feed := block.rfind(b"\n", 0, end)) >= 0:
        open_quote ^= block.count(b'"', feed, end) % 2
        if not open_quote:
            return feed + 1
        end = feed
    return 0
