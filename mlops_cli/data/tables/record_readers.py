"""Read JSON Lines and Parquet as tables: blocks of rows, as the CSV reader returns them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mlops_cli.data.compression.compressed import CsvSource
from mlops_cli.data.tables.csv_reader import (
    BLOCK,
    BLOCK_CHARACTERS,
    LONGEST_CELL,
    MOST_NAMES,
    Block,
    TableReader,
)
from mlops_cli.data.tables.schema import Problem, Problems, Schema, shown
from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import json_text, parse_json
from mlops_cli.packaging.install_hint import packages_command

if TYPE_CHECKING:
    import polars as pl

# For a date or duration that polars supports but Python does not.
PYTHON_ERRORS = (ValueError, OverflowError)
# The range of Python's dates, in days since 1970.
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
# Nanoseconds can represent the years from 1677 to 2262.
UNITS_OF_A_DAY = {"Date": 1, "ms": 86_400_000, "us": 86_400_000_000}


def table_reader(
    table: CsvSource, stream: BinaryIO, schema: Schema, findings: Problems
) -> TableReader | JsonLinesReader | ParquetReader:
    if table.format == "jsonl":
        return JsonLinesReader(table.source, stream, schema, findings)
    if table.format == "parquet" and table.path is not None:
        return ParquetReader(table.source, table.path, schema)
    return TableReader(table.source, stream, schema, findings)


class JsonLinesReader:
    """One object on each line. A missing key is an empty cell."""

    def __init__(self, source: str, stream: BinaryIO, schema: Schema, findings: Problems) -> None:
        self._source, self._stream, self._findings = source, stream, findings
        self._names = list(schema.columns)
        self.ignored: list[str] = []

    def blocks(self) -> Iterator[Block]:
        """Yield all rows that are objects. Add the other lines to the problems."""
        rows: list[list[str]] = []
        first = 1
        for number, line in enumerate(self._lines(), 1):
            row = self._row(number, line)
            if row is not None:
                first = first if rows else number
                rows.append(row)
            if rows and (row is None or len(rows) == BLOCK):
                yield _block(self._source, first, rows)
                rows = []
        if rows:
            yield _block(self._source, first, rows)

    def _lines(self) -> Iterator[bytes]:
        while line := self._stream.readline(LONGEST_CELL):
            if len(line) == LONGEST_CELL:
                raise MlopsError(f"{self._source} has a line of more than {LONGEST_CELL:,} bytes", "give JSON lines")
            yield line

    def _row(self, number: int, line: bytes) -> list[str] | None:
        text = line.decode("utf-8", "surrogateescape").strip().removeprefix("\ufeff")
        if not text:
            return None
        try:
            content = parse_json(text)
            row = [_cell(content.get(name)) for name in self._names] if isinstance(content, dict) else None
        except ValueError:  # an inner list can also be too deep to be written
            self._findings.add(Problem(self._source, number, "", f"{shown(text)} is not JSON, or nests too deeply"))
            return None
        if row is None:
            self._findings.add(
                Problem(self._source, number, "", f"{shown(text)} is not an object with the columns' names")
            )
            return None
        self._note_ignored(content)
        return row

    def _note_ignored(self, content: Mapping[str, Any]) -> None:
        if len(self.ignored) < MOST_NAMES:
            self.ignored += [name for name in content if name not in self._names and name not in self.ignored]


class ParquetReader:
    """The rows of a Parquet file, in batches. The line of a problem is the row's number.

    ``rows``: their number in the file; ``rows_read``: the number of those that ``blocks`` has yielded.
    """

    def __init__(self, source: str, path: Path, schema: Schema | None = None) -> None:
        """Without a schema the rows have all columns of the file."""
        try:
            import polars as pl
        except ImportError:
            raise MlopsError(
                "reading Parquet needs polars, which is not installed", packages_command("polars")
            ) from None
        self._source = source
        self.rows_read = 0
        self._errors = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
        self._rows = pl.scan_parquet(path, glob=False)  # a name may contain [ or *
        try:
            columns = self._rows.collect_schema().names()
            self.rows = int(self._rows.select(pl.len()).collect().item())
        except self._errors as error:
            raise self._damaged(error) from None
        self.names = list(schema.columns) if schema else columns
        missing = [name for name in self.names if name not in columns]
        if schema and missing:
            present = ", ".join(shown(name) for name in columns[:MOST_NAMES])
            raise MlopsError(
                f"{source}: the columns {', '.join(missing)} are missing; it has {present}",
                f"give a file with these columns, or change {schema.title} in usecase.toml",
            )
        self.ignored = [name for name in columns if name not in self.names]

    def blocks(self) -> Iterator[Block]:
        first = 1
        try:
            for batch in self._rows.select(self.names).collect_batches(chunk_size=BLOCK, maintain_order=True):
                for part in batch.iter_slices(self._rows_at_once(batch, first)):
                    self._check_dates(part, first)
                    rows = [[_cell(value) for value in row] for row in part.iter_rows()]
                    self.rows_read += len(rows)
                    yield _block(self._source, first, rows)
                    first += len(rows)
        except self._errors as error:
            raise self._damaged(error) from None
        except PYTHON_ERRORS as error:
            raise self._out_of_range(first, f"a value that Python cannot hold ({_first_line(error)})") from None

    def _rows_at_once(self, batch: pl.DataFrame, first: int) -> int:
        """Return how many rows of the batch are one block. Raise MlopsError for a cell that is too long.

        Equal texts are stored once in the file and in a batch, but not in the rows that are made from it.
        """
        import polars as pl
        import polars.selectors as of

        texts = of.string(include_categorical=True) | of.enum()
        lengths = batch.select(texts.cast(pl.String).str.len_bytes().max(), of.binary().bin.size().max())
        longest = [length or 0 for length in (lengths.row(0) if lengths.width else ())]
        if max(longest, default=0) > LONGEST_CELL:
            raise MlopsError(
                f"{self._source} has a cell of more than {LONGEST_CELL:,} bytes, in the rows from {first:,} on",
                "shorten it, or leave the column out of usecase.toml",
            )
        return min(BLOCK, max(1, BLOCK_CHARACTERS // max(1, sum(longest))))

    def _check_dates(self, batch: pl.DataFrame, first: int) -> None:
        """Raise MlopsError for a date before the year 1 or after 9999: polars panics at some of them."""
        for name, kind in batch.schema.items():
            if days_in := _units_of_a_day(kind):
                numbers = batch[name].to_physical().drop_nulls()
                if not numbers.is_between(FIRST_DAY * days_in, (LAST_DAY + 1) * days_in, closed="left").all():
                    raise self._out_of_range(first, f"a date outside of the years 1 to 9999 in {shown(name)}")

    def _out_of_range(self, first: int, problem: str) -> MlopsError:
        return MlopsError(
            f"{self._source} has {problem}, in the rows from {first:,} on",
            "write it as a text, or leave the column out of usecase.toml",
        )

    def _damaged(self, error: Exception) -> MlopsError:
        return MlopsError(f"{self._source} is damaged or no Parquet file: {_first_line(error)}", "get it again")


def _units_of_a_day(kind: pl.DataType) -> int:
    """Return how many units of a date's or time's number are one day; 0 for other types."""
    name = kind.base_type().__name__
    return UNITS_OF_A_DAY.get(getattr(kind, "time_unit", "") if name == "Datetime" else name, 0)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or ["?"])[0]


def _block(source: str, first: int, rows: list[list[str]]) -> Block:
    return Block(source, first, rows, rows, _one_line)


def _one_line(_: Iterable[str]) -> int:
    return 1


def _cell(value: Any) -> str:
    """Return a value as the text of a CSV cell; an empty text for a missing value."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, (list, dict)):
        return json_text(value)
    return str(value)
