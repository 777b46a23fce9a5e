"""Read a CSV in blocks of rows, with the columns in the order of the schema, and the line of each record."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO

from mlops_cli.data.limits import CHUNK
from mlops_cli.data.tables.columns import Column
from mlops_cli.data.tables.foreign import foreign, has_no_header, line_with_names, misspelled
from mlops_cli.data.tables.row_limit import RowLimitedStream
from mlops_cli.data.tables.schema import (
    SAVE_AS_UTF8,
    Problem,
    Problems,
    Record,
    Schema,
    lines_of,
    misencoded_part,
    shown,
)
from mlops_cli.errors import MlopsError

BLOCK = 1_000
BLOCK_CHARACTERS = 1 << 23
HEAD_BYTES = 512
MOST_NAMES = 20
# Far longer than any real cell. Without a limit, an unclosed quote would include the rest of the file.
LONGEST_CELL = 16 * 2**20


@dataclass(frozen=True)
class Block:
    """The same rows twice: as read, and with the columns in the schema's order."""

    location: str
    first_line: int
    read: list[list[str]]
    rows: Sequence[Sequence[str]]
    lines: Callable[[Iterable[str]], int] = lines_of

    def records(self) -> Iterator[Record]:
        line = self.first_line
        for read, row in zip(self.read, self.rows, strict=True):
            yield Record(self.location, line, list(row))
            line += self.lines(read)


class TableReader:
    """One CSV. ``ignored``: its columns outside of the schema."""

    def __init__(self, source: str, stream: BinaryIO, schema: Schema, findings: Problems) -> None:
        self._source, self._findings, self._title = source, findings, schema.title
        self._head = _head(stream)
        self._limited = RowLimitedStream(stream, source)
        buffered = io.BufferedReader(self._limited, CHUNK)
        text = io.TextIOWrapper(buffered, "utf-8-sig", errors="surrogateescape", newline="")
        self._reader = csv.reader(text, strict=True)
        self._header = self._read_header()
        unknown_columns = [name.strip() or "(without a name)" for name in self._header if name not in schema.columns]
        self.ignored = list(dict.fromkeys(unknown_columns))
        positions = self._positions(list(schema.columns))
        # itemgetter returns no tuple for one position.
        self._as_read = positions == list(range(len(self._header)))
        self._ordered = itemgetter(*positions) if len(positions) > 1 else lambda row: (row[positions[0]],)

    def blocks(self) -> Iterator[Block]:
        """Yield all rows that have the right number of cells. Add the other rows to the problems."""
        done = False
        while not done:
            first_line = self._reader.line_num + 1
            block, done = self._next_block(first_line)
            width = len(self._header)
            if any(len(row) != width for row in block):
                yield from self._even_blocks(first_line, block)
            elif block:
                yield self._block(first_line, block)

    def _next_block(self, first_line: int) -> tuple[list[list[str]], bool]:
        block: list[list[str]] = []
        characters = 0
        csv.field_size_limit(LONGEST_CELL)  # global in the process: another CSV reader may have changed it
        try:
            for row in self._reader:
                self._limited.row_bytes = 0
                block.append(row)
                characters += sum(map(len, row))
                if len(block) == BLOCK or characters > BLOCK_CHARACTERS:
                    return block, False
        except csv.Error as error:
            # Nothing after this can be parsed, so this is the file's last problem.
            line = first_line + sum(map(lines_of, block))
            self._findings.add(Problem(self._source, line, "", _csv_reason(error)))
        return block, True

    def _even_blocks(self, first_line: int, block: list[list[str]]) -> Iterator[Block]:
        """Yield the rows with the right number of cells one by one: only they can be reordered."""
        line = first_line
        for row in block:
            if len(row) == len(self._header):
                yield self._block(line, [row])
            elif row:
                reason = (
                    f"has {len(row)} cells where the header has {len(self._header)}, beginning with {shown(row[0])}"
                )
                self._findings.add(Problem(self._source, line, "", reason))
            line += lines_of(row)

    def _block(self, first_line: int, read: list[list[str]]) -> Block:
        rows = read if self._as_read else list(map(self._ordered, read))
        return Block(self._source, first_line, read, rows)

    def _read_header(self) -> list[str]:
        """Return the first line that is not empty."""
        csv.field_size_limit(LONGEST_CELL)
        header: list[str] = []
        try:
            while not "".join(header).strip():
                header = next(self._reader)
                self._limited.row_bytes = 0
        except StopIteration:
            raise MlopsError(f"{self._source} is empty", "give a CSV file with a header line") from None
        except csv.Error as error:
            self._require_csv()
            raise MlopsError(
                f"{self._source} line {self._reader.line_num}: {_csv_reason(error)}",
                "give a CSV file with a header line",
            ) from None
        self._header_line = self._reader.line_num - lines_of(header) + 1
        return header

    def _require_csv(self) -> None:
        """Raise MlopsError if the beginning of the file shows another format."""
        described = foreign(self._head)
        if described:
            raise MlopsError(f"{self._source} {described[0]}", described[1])

    def _positions(self, names: list[str]) -> list[int]:
        """Return the positions of the schema's columns. Raise MlopsError for a missing or repeated one."""
        location = f"{self._source} line {self._header_line}"
        missing = [name for name in names if name not in self._header]
        if missing:
            self._require_csv()
            message, hint = _missing_columns(location, missing, self._header, self._title)
            line = line_with_names(self._head, names) or self._header_line
            raise MlopsError(message, hint if line == self._header_line else f"remove the lines above line {line}")
        repeated = [name for name in names if self._header.count(name) > 1]
        if repeated:
            raise MlopsError(f"{location}: the column {shown(repeated[0])} occurs twice", "rename one of them")
        return [self._header.index(name) for name in names]


def _head(stream: BinaryIO) -> bytes:
    """Return the stream's first bytes without consuming them."""
    return stream.peek(HEAD_BYTES)[:HEAD_BYTES] if isinstance(stream, io.BufferedReader) else b""


def _missing_columns(location: str, missing: Sequence[str], header: Sequence[str], title: str) -> tuple[str, str]:
    """Return the message about missing columns, and its hint."""
    present = ", ".join(shown(name) for name in header[:MOST_NAMES])
    be = "the column {} is missing" if len(missing) == 1 else "the columns {} are missing"
    message = f"{location}: {be.format(', '.join(missing))}; it has {present}"
    if any(map(misencoded_part, header)):
        return f"{message}; this line is not UTF-8", SAVE_AS_UTF8
    near = misspelled(header, missing)
    if near:
        pairs = ", ".join(f"{shown(name)} as {column}" for column, name in near.items())
        return message, f"write the names in the file exactly so, or change {title}: {pairs}"
    if has_no_header(header):
        return message, "the first line holds numbers: put a line with the columns' names before it"
    return message, f"give a file with these columns, or change {title} in usecase.toml"


def _csv_reason(error: csv.Error) -> str:
    text = str(error)
    if "field larger" in text:
        return f"a cell is longer than {LONGEST_CELL:,} characters (is a closing quote missing?)"
    if "end of data" in text:
        return "a quoted cell is never closed"
    if "NUL" in text:
        return "contains a NUL character"
    return f"is not well quoted ({text})"


def formatted(rows: Iterable[Sequence[str]], schema: Schema) -> str:
    """Return lines of a CSV.

    All texts are quoted, as in Kaggle's file, because that is several times faster than csv. Numbers are not quoted.
    """
    writers = [_writer(each) for each in schema.parsed.values()]
    columns = [write(cells) for write, cells in zip(writers, zip(*rows, strict=True), strict=True)]
    if len(columns) == 1:
        # Readers skip an empty line.
        columns[0] = [cell or '""' for cell in columns[0]]
    return "".join([f"{line}\n" for line in map(",".join, zip(*columns, strict=True))])


def _as_is(cells: Sequence[str]) -> Sequence[str]:
    return cells


def _stripped(cells: Sequence[str]) -> Sequence[str]:
    return [cell.strip() for cell in cells]


def _quoted(cells: Sequence[str]) -> Sequence[str]:
    return [f'"{cell}"' for cell in _doubled(cells)]


def _quoted_if_needed(cells: Sequence[str]) -> Sequence[str]:
    """Quote only cells with a comma, quote or line break, so that readers recognize numbers and empty cells."""
    return [f'"{doubled}"' if set(doubled) & _SPECIAL else doubled for doubled in _doubled(cells)]


_SPECIAL = frozenset(',"\r\n')
_WRITTEN: dict[str, Callable[[Sequence[str]], Sequence[str]]] = {
    "id": _quoted,
    "text": _quoted,
    "label": _as_is,
    "number": _stripped,
    "date": _stripped,
    "category": _quoted_if_needed,
    "any": _quoted_if_needed,
}


def _writer(each: Column) -> Callable[[Sequence[str]], Sequence[str]]:
    """Return the function that writes a column. An empty cell has no quotes, so that readers see it as missing."""
    is_bare = each.kind in ("label", "number", "date")
    return (_stripped if is_bare else _quoted_if_needed) if each.may_be_empty else _WRITTEN[each.kind]


def _doubled(cells: Sequence[str]) -> Iterable[str]:
    return [cell.replace('"', '""') if '"' in cell else cell for cell in cells]


def header_line(schema: Schema) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(schema.columns)
    return line.getvalue()
