"""The columns of a dataset, and the check of its rows."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mlops_cli.data.tables.columns import KINDS, Column, column
from mlops_cli.errors import ConfigurationError

MAX_PROBLEMS = 10
NOT_UTF8 = "is not UTF-8"
SAVE_AS_UTF8 = "save the file as UTF-8. From Windows or Excel: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW.csv"


@dataclass(frozen=True)
class Schema:
    """Columns by name, in the order of dataset.csv, each as a text from ``columns.column_text``.

    ``title``: the table of usecase.toml that has these columns.
    """

    columns: dict[str, str]
    title: str = "[data.columns]"

    def __post_init__(self) -> None:
        if not self.columns:
            raise ConfigurationError(f"{self.title} names no column", "name them in usecase.toml")
        for name, text in self.columns.items():
            if not text.startswith("[") and text.removesuffix("?") not in KINDS:
                raise ConfigurationError(
                    f"{self.title} {name} = {text!r} is not one of {', '.join(KINDS)}",
                    "fix it in usecase.toml",
                )

    @cached_property
    def parsed(self) -> dict[str, Column]:
        return {name: column(text) for name, text in self.columns.items()}

    @property
    def labels(self) -> list[str]:
        return [name for name, parsed in self.parsed.items() if parsed.kind == "label"]


@dataclass(frozen=True)
class TableFiles:
    """A table among a dataset's files. ``file``: the name of its file, or a pattern for the names of several files."""

    file: str
    schema: Schema


@dataclass(frozen=True)
class Problem:
    """One problem. ``line``: the record's first physical line (from 1)."""

    location: str
    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        column = f", column {self.column}" if self.column else ""
        return f"{self.location} line {self.line}{column}: {self.reason}"


@dataclass
class Record:
    """A row as read, with its location."""

    location: str
    line: int
    cells: list[str]


@dataclass
class Problems:
    """The first problems, and the number of all problems."""

    named: list[Problem] = field(default_factory=list)
    count: int = 0
    misencoded: Counter[str] = field(default_factory=Counter)
    columns: Counter[str] = field(default_factory=Counter)

    def add_misencoded(self, problem: Problem) -> None:
        """Add the file's first cell that is not UTF-8. Only count the others, because they have the same cause."""
        self.misencoded[problem.location] += 1
        if self.misencoded[problem.location] == 1:
            self.add(problem)

    def add(self, problem: Problem) -> None:
        self.count += 1
        if problem.column:
            self.columns[problem.column] += 1
        if len(self.named) < MAX_PROBLEMS:
            self.named.append(problem)


class Checker:
    """Checks rows in blocks. A valid block takes a few passes in C; an invalid one is checked cell by cell."""

    def __init__(self, schema: Schema) -> None:
        self._columns = list(schema.parsed.items())
        self.findings = Problems()
        self.rows = 0
        self.positives: Counter[str] = Counter(dict.fromkeys(schema.labels, 0))
        self._ids = {name: Fingerprints() for name, each in self._columns if each.kind == "id"}

    def is_valid(self, rows: Sequence[Sequence[str]]) -> bool:
        """Return True and count the rows if every row is valid."""
        try:
            columns = list(zip(*rows, strict=True))
        except ValueError:
            return False
        if len(columns) != len(self._columns):
            return False
        for (_, each), cells in zip(self._columns, columns, strict=True):
            if not each.allows(cells):
                return False
        for (name, each), cells in zip(self._columns, columns, strict=True):
            if each.kind == "label":
                self.positives[name] += cells.count("1")
            elif each.kind == "id":
                self._ids[name].extend(cells)
        self.rows += len(rows)
        return True

    def collect_errors(self, records: Iterable[Record]) -> None:
        """Add the errors in these records to the problems."""
        for record in records:
            for (name, each), cell in zip(self._columns, record.cells, strict=True):
                reason = cell_problem(each, cell)
                if reason.endswith(NOT_UTF8):
                    self.findings.add_misencoded(Problem(record.location, record.line, name, reason))
                elif reason:
                    self.findings.add(Problem(record.location, record.line, name, reason))
                elif each.kind == "id":
                    self._ids[name].extend([cell])

    def has_duplicates(self) -> dict[str, set[int]]:
        """Return the fingerprints of repeated values by id column (see ``collect_duplicates``)."""
        fingerprints = {name: prints.repeated() for name, prints in self._ids.items()}
        return {name: prints for name, prints in fingerprints.items() if prints}

    def collect_duplicates(self, repeated: dict[str, set[int]], records: Iterable[Record]) -> None:
        """Compare all ids in a second pass to find the lines of repeated ids."""
        names = [name for name, _ in self._columns]
        first: dict[tuple[str, str], Record] = {}
        for record in records:
            for name, prints in repeated.items():
                cell = record.cells[names.index(name)]
                if hash(cell) not in prints:
                    continue
                earlier = first.setdefault((name, cell), record)
                if earlier is not record:
                    reason = f"{shown(cell)} duplicates line {earlier.line} of {earlier.location}"
                    self.findings.add(Problem(record.location, record.line, name, reason))


class Fingerprints:
    """Eight bytes for each value, to find repeated values without storing them."""

    _BUCKETS = 256

    def __init__(self) -> None:
        self._buckets = [array("q") for _ in range(self._BUCKETS)]

    def extend(self, values: Iterable[str]) -> None:
        buckets, mask = self._buckets, self._BUCKETS - 1
        for value in map(hash, values):
            buckets[value & mask].append(value)

    def repeated(self) -> set[int]:
        values: set[int] = set()
        for bucket in self._buckets:
            if len(set(bucket)) != len(bucket):
                values.update(value for value, count in Counter(bucket).items() if count > 1)
        return values


def cell_problem(each: Column, cell: str) -> str:
    """Return why a cell is invalid in this column; "" if it is valid."""
    if broken := misencoded_part(cell):
        start = max(0, broken.start() - 20)
        return f"{shown(('…' if start else '') + cell[start:])} {NOT_UTF8}"
    if "\0" in cell:
        return f"{shown(cell)} contains a NUL character"
    return each.problem(cell, shown(cell))


def misencoded_part(text: str) -> re.Match[str] | None:
    """Return the first bytes of the text that were not UTF-8; None if there are none."""
    return None if text.isascii() else re.search("[\ud800-\udfff]", text)


def shown(cell: str, limit: int = 40) -> str:
    """Return a cell for one line of a message: shortened, with control characters and broken bytes escaped."""
    cut = cell[:limit] + ("…" if len(cell) > limit else "")
    escaped = "".join(_escaped(character) for character in cut)
    return f'"{escaped}"'


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def lines_of(cells: Iterable[str]) -> int:
    """Return the number of physical lines of a record."""
    breaks = (cell.count("\n") + cell.count("\r") - cell.count("\r\n") for cell in cells)
    return 1 + sum(breaks)


def blocks(rows: Iterator[list[str]], size: int) -> Iterator[list[list[str]]]:
    """Yield lists of up to ``size`` rows."""
    block: list[list[str]] = []
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
