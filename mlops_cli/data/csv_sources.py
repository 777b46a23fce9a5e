"""Find the CSV in a file, plain, .gz or .zip, and in each file of a folder."""

from __future__ import annotations

from pathlib import Path

from mlops_cli.data.compressed import CsvSource, gzip_table, plain_table
from mlops_cli.data.sources.local_path import path_files


def tables(path: Path, source: str, member_name: str, scratch: Path) -> list[CsvSource]:
    """Return the one table in a file; of several in an archive, the one named ``member_name``.

    Archives inside archives are unpacked to ``scratch``, under names of our own. Raise MlopsError if there is no table,
    if there are several and none is named ``member_name``, or if the archive is damaged or dangerous.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == b"\x1f\x8b":
        return [gzip_table(path, source)]
    if magic == b"PK\x03\x04" or path.suffix.lower() == ".zip":
        from mlops_cli.data.zips import zip_table

        return [zip_table(path, source, member_name, scratch)]
    return [plain_table(path, source)]


def path_tables(source: str, folder: Path, member_name: str, scratch: Path) -> list[CsvSource]:
    """Return the tables of a file, or of all files in a folder in the order of their names."""
    tables_: list[CsvSource] = []
    for number, path in enumerate(path_files(source, folder)):
        label = str(path) if (folder / source).is_dir() else source
        tables_ += tables(path, label, member_name, scratch / str(number))
    return tables_
