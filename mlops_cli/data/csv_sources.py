"""Find the CSV in a file: plain, .gz or .zip."""

from __future__ import annotations

from pathlib import Path

from mlops_cli.data.compressed import CsvSource, gzip_table, plain_table


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
