"""Check tables among a dataset's files, each by a schema of its own. The files stay unchanged."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from mlops_cli.core.progress import Report
from mlops_cli.data.files import plain_files
from mlops_cli.data.tables.csv_sources import tables
from mlops_cli.data.tables.schema import TableFiles
from mlops_cli.data.writer import Writer
from mlops_cli.errors import MlopsError

MOST_NAMED = 10


def check_tables(folder: Path, declared: Mapping[str, TableFiles], scratch: Path, report: Report) -> list[str]:
    """Return a remark on each table. Raise MlopsError for a table without a file, and for invalid rows."""
    if not declared:
        return []
    files = plain_files(folder)
    return [
        _check(name, table, [(path, file) for path, file in files if path.match(table.file)], files, scratch, report)
        for name, table in declared.items()
    ]


def _check(
    name: str,
    table: TableFiles,
    files: list[tuple[PurePosixPath, Path]],
    dataset: list[tuple[PurePosixPath, Path]],
    scratch: Path,
    report: Report,
) -> str:
    if not files:
        names = ", ".join(path.as_posix() for path, _ in dataset[:MOST_NAMED])
        raise MlopsError(
            f"the data have no file {table.file} for the table {name}; they have {names}"
            + (f" and {len(dataset) - MOST_NAMED} more" if len(dataset) > MOST_NAMED else ""),
            f"add it, or change file in [data.tables.{name}] of usecase.toml",
        )
    with Path(os.devnull).open("wb") as out:
        writer = Writer(out, table.schema)
        for number, (path, file) in enumerate(files):
            for source in tables(file, path.as_posix(), "", scratch / f"table-{name}-{number}"):
                writer.add_table(source, report)
        writer.finish()
    amount = files[0][0].as_posix() if len(files) == 1 else f"{len(files):,} files"
    unchecked = f"; without a schema: {', '.join(writer.ignored[:MOST_NAMED])}" if writer.ignored else ""
    return f"table {name}: {amount}, {writer.checker.rows:,} rows{unchecked}"
