"""Find the table in a plain, .gz or .zip file, and in each file of a folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from mlops_cli.core.progress import no_report
from mlops_cli.data.compression.archives import TAR, unpack
from mlops_cli.data.compression.compressed import CsvSource, gzip_table, plain_table
from mlops_cli.data.files import FileCollector, plain_files
from mlops_cli.data.sources.path_files import JSON_LINES, PARQUET, TABLE_ENDINGS, folder_tables
from mlops_cli.errors import MlopsError

ALL_TABLES = (*TABLE_ENDINGS, *PARQUET, *JSON_LINES)
MOST_NAMED = 10


def tables(path: Path, source: str, member_name: str, scratch: Path) -> list[CsvSource]:
    """Return the one table in a file; of several in an archive, the one with the name ``member_name``.

    Archives inside archives are unpacked to ``scratch`` under new names. Raise MlopsError if there is no table, if
    there are several and ``member_name`` names none of them, or if the archive is damaged or dangerous.
    """
    if source.lower().endswith(PARQUET):
        return [replace(plain_table(path, source), format="parquet", path=path)]
    with path.open("rb") as stream:
        magic = stream.read(4)
    if source.lower().endswith(JSON_LINES):
        is_packed = magic[:2] == b"\x1f\x8b"
        return [replace((gzip_table if is_packed else plain_table)(path, source), format="jsonl")]
    if source.lower().endswith(TAR):
        return _tar_tables(path, source, member_name, scratch)
    if magic[:2] == b"\x1f\x8b":
        return [gzip_table(path, source)]
    if magic == b"PK\x03\x04" or path.suffix.lower() == ".zip":
        from mlops_cli.data.compression.zips import zip_table

        return [zip_table(path, source, member_name, scratch)]
    return [plain_table(path, source)]


def _tar_tables(path: Path, source: str, member_name: str, scratch: Path) -> list[CsvSource]:
    """Return the table with the name ``member_name`` in a tar archive, or else the only table."""
    folder = scratch / "tar"
    shutil.rmtree(folder, ignore_errors=True)
    unpack(path, source, FileCollector(folder, no_report))
    files = plain_files(folder)
    named = [(name, file) for name, file in files if member_name in (name.as_posix(), name.name)]
    chosen = named or [(name, file) for name, file in files if name.name.lower().endswith(ALL_TABLES)]
    if len(chosen) != 1:
        names = ", ".join(name.as_posix() for name, _ in (chosen or files)[:MOST_NAMED]) or "nothing"
        raise MlopsError(
            f"{source} contains {'several tables' if chosen else 'no table'}: it has {names}",
            'unpack it and give the table, or name it in usecase.toml, under [data]: file = "NAME"',
        )
    return tables(chosen[0][1], f"{source}/{chosen[0][0]}", member_name, scratch / "member")


def path_tables(path: Path, source: str, member_name: str, scratch: Path) -> list[CsvSource]:
    """Return the tables of a file, or of all files in a folder, by name."""
    if not path.is_dir():
        return tables(path, source, member_name, scratch)
    return [
        table
        for number, file in enumerate(folder_tables(path, source))
        for table in tables(file, f"{source.rstrip('/')}/{file.name}", member_name, scratch / str(number))
    ]
