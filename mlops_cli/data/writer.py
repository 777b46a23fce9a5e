"""Write checked rows to the dataset's file, and collect its metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from mlops_cli.core.progress import Report
from mlops_cli.data.compression.compressed import (
    CsvSource,
    archive_bomb_error,
    max_unpacked,
    translate_archive_errors,
)
from mlops_cli.data.tables.columns import NO_LABEL
from mlops_cli.data.tables.csv_reader import formatted, header_line
from mlops_cli.data.tables.record_readers import ParquetReader, table_reader
from mlops_cli.data.tables.schema import MAX_PROBLEMS, SAVE_AS_UTF8, Checker, Problems, Record, Schema
from mlops_cli.errors import MlopsError


class Writer:
    """Writes whole tables. ``finish`` raises if any row was invalid."""

    def __init__(self, out: BinaryIO, schema: Schema) -> None:
        self._out, self._schema = out, schema
        self._digest, self._bytes = hashlib.sha256(), 0
        self._tables: list[CsvSource] = []
        self.checker = Checker(schema)
        self.ignored: list[str] = []
        self._write(header_line(schema).encode())

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def add_table(self, table: CsvSource, report: Report) -> None:
        self._tables.append(table)
        before, begin = self.checker.rows + self.checker.findings.count, self._bytes
        with translate_archive_errors(table.source), table.open() as (stream, position):
            reader = table_reader(table, stream, self._schema, self.checker.findings)
            for block in reader.blocks():
                self._add_rows(block.rows, block.records())
                if isinstance(reader, ParquetReader):
                    # Equal values take no room in Parquet: without a limit, a small file could fill the disk.
                    if self._bytes - begin > max_unpacked(table.size):
                        raise archive_bomb_error(table.source, "if that is right, give it as CSV")
                    report("check", reader.rows_read, reader.rows, "rows")
                else:
                    report("check", position(), table.size, "B")
            self.ignored += [name for name in reader.ignored if name not in self.ignored]
        if self.checker.rows + self.checker.findings.count == before:
            raise MlopsError(f"{table.source} has a header but no rows", "give a file with rows")

    def _add_rows(self, rows: Sequence[Sequence[str]], records: Iterator[Record]) -> None:
        try:
            encoded = formatted(rows, self._schema).encode()
        except UnicodeEncodeError:  # bytes that are not UTF-8 were read as surrogates
            encoded = b"\0"
        if b"\0" in encoded or not self.checker.is_valid(rows):
            self.checker.collect_errors(records)
        elif not self.checker.findings.count:
            self._write(encoded)

    def finish(self) -> None:
        """Close the file. Raise MlopsError if any row was invalid."""
        repeated = self.checker.has_duplicates()
        if repeated:
            self.checker.collect_duplicates(repeated, self._check_duplicates())
        findings = self.checker.findings
        if findings.count:
            raise _validation_error(findings, self._schema.title)

    def _check_duplicates(self) -> Iterator[Record]:
        for table in self._tables:
            with table.open() as (stream, _):
                for block in table_reader(table, stream, self._schema, Problems()).blocks():
                    yield from block.records()

    def _write(self, encoded: bytes) -> None:
        self._digest.update(encoded)
        self._bytes += len(encoded)
        self._out.write(encoded)


def _validation_error(findings: Problems, title: str) -> MlopsError:
    lines = [f"  {problem}" for problem in findings.named]
    if findings.count > MAX_PROBLEMS:
        by_column = ", ".join(f"{name} {count:,}" for name, count in findings.columns.most_common(MAX_PROBLEMS))
        several = f"; by column: {by_column}" if len(findings.columns) > 1 else ""
        lines.append(f"  and {findings.count - MAX_PROBLEMS:,} more{several}")
    rows = "1 problem" if findings.count == 1 else f"{findings.count:,} problems"
    lines += [f"  {cells} cells of {file} are not UTF-8" for file, cells in findings.misencoded.items() if cells > 1]
    hint = f"fix these rows, or change {title} in usecase.toml, then repeat the command"
    if all(problem.reason.endswith(NO_LABEL) for problem in findings.named):
        hint = f'write 0 and 1, or make the column "any" in {title} and convert it in preprocess.py'
    if findings.misencoded:
        hint = SAVE_AS_UTF8
    return MlopsError("\n".join([f"the data do not fit the schema, {rows}:", *lines]), hint)
