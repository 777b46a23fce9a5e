"""Find the one table in an untrusted zip archive and in the archives inside it."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlops_cli.data.compression.compressed import (
    ClosingReader,
    CsvSource,
    SizeLimitedStream,
    archive_bomb_error,
    gzip_table,
    max_unpacked,
    plain_table,
    translate_archive_errors,
)
from mlops_cli.data.limits import CHUNK
from mlops_cli.data.sources.path_files import JSON_LINES, PARQUET
from mlops_cli.errors import MlopsError
from mlops_cli.files.archive_names import is_inside
from mlops_cli.plain_text import one_line

_DEPTH = 3
LOCAL_HEADER = b"PK\x03\x04"
_UNREAD = (".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".rar")
_ARCHIVES = (".zip", ".gz", *_UNREAD)
_NAMED = 10


@dataclass(frozen=True)
class Entry:
    """A file in the archive. ``path`` has slashes, even if the archive from Windows has backslashes."""

    info: zipfile.ZipInfo
    path: PurePosixPath

    @property
    def shown(self) -> str:
        return one_line(str(self.path))

    @property
    def is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    @property
    def is_parquet(self) -> bool:
        return self.path.name.lower().endswith(PARQUET)

    @property
    def is_json_lines(self) -> bool:
        return self.path.name.lower().endswith(JSON_LINES)

    @property
    def is_archive(self) -> bool:
        return self.path.suffix.lower() in _ARCHIVES


def zip_table(path: Path, source: str, member_name: str, scratch: Path, depth: int = 0) -> CsvSource:
    """Return the table with the name ``member_name``, or the only table.

    Archives inside archives are unpacked to ``scratch`` under new names. Raise MlopsError if there is no table, if
    there are several and ``member_name`` names none of them, or if the archive is damaged or dangerous.
    """
    with translate_archive_errors(source), zipfile.ZipFile(path) as archive:
        _require_one_archive(path, archive, source)
        entries = checked_entries(archive, source)
    entry = _chosen(entries, source, member_name)
    if entry.is_parquet:
        copy = _unpacked(path, source, entry, scratch, depth)
        table = replace(plain_table(copy, f"{source}/{entry.shown}"), format="parquet", path=copy)
    elif not entry.is_archive:
        table = _member_table(path, source, entry)
    elif depth == _DEPTH:
        raise MlopsError(
            f"{source} contains archives in archives, more than {_DEPTH} deep", "unpack it and give the CSV"
        )
    else:
        table = _inner_table(path, source, entry, member_name, scratch, depth)
    if entry.is_json_lines:
        table = replace(table, format="jsonl")
    unread = [candidate.shown for candidate in entries if candidate is not entry]
    remark = f"not read: {_listed(unread)} in {source}" if unread else ""
    return replace(table, remarks=(*filter(None, [remark]), *table.remarks))


def _require_one_archive(path: Path, archive: zipfile.ZipFile, source: str) -> None:
    """Raise MlopsError for unlisted files before the listed ones, as in two joined archives.

    A program in front of a self-extracting archive may be ignored.
    """
    with path.open("rb") as stream:
        begins_with_file = stream.read(4) == LOCAL_HEADER
    if begins_with_file and all(info.header_offset for info in archive.infolist()):
        raise MlopsError(
            f"{source} is damaged, or several archives in one file: it lists only the last files in it",
            "get it again, or unpack it and give the CSV",
        )


def _chosen(entries: Sequence[Entry], source: str, member_name: str) -> Entry:
    """Return the entry with this name, or with this name in compressed form, or the only table."""
    packed = {member_name, PurePosixPath(member_name).stem}
    choices = (
        [entry for entry in entries if member_name and str(entry.path) == member_name],
        [entry for entry in entries if member_name and entry.path.name == member_name],
        [entry for entry in entries if member_name and entry.is_archive and entry.path.stem in packed],
        [entry for entry in entries if entry.is_csv or entry.is_archive],
        [entry for entry in entries if entry.is_parquet or entry.is_json_lines],
    )
    candidates: Sequence[Entry] = next((choice for choice in choices if choice), [])
    if len(candidates) > 1:
        raise _several(source, candidates)
    if not candidates and any(str(entry.path) == "xl/workbook.xml" for entry in entries):
        raise MlopsError(f"{source} is an Excel workbook", "export it as CSV")
    if not candidates:
        names = _listed([entry.shown for entry in entries]) or "nothing in it"
        raise MlopsError(
            f"{source} contains no table (.csv, .parquet, .jsonl): it has {names}",
            "give the table itself, or another archive",
        )
    return candidates[0]


def _several(source: str, candidates: Sequence[Entry]) -> MlopsError:
    kinds = {"CSVs" if entry.is_csv else "archives" if entry.is_archive else "tables" for entry in candidates}
    noun = kinds.pop() if len(kinds) == 1 else "tables"
    return MlopsError(
        f"{source} contains several {noun}: {_listed([entry.shown for entry in candidates])}",
        f'unpack it and give those you mean, or name one in usecase.toml, under [data]: file = "{candidates[0].shown}"',
    )


def _listed(names: Sequence[str]) -> str:
    further = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + further


def _inner_table(path: Path, source: str, entry: Entry, member_name: str, scratch: Path, depth: int) -> CsvSource:
    inner_source = f"{source}/{entry.shown}"
    if entry.path.suffix.lower() in _UNREAD:
        raise MlopsError(f"{inner_source} is an archive of a kind that is not read", "unpack it and give the CSV")
    unpacked = _unpacked(path, source, entry, scratch, depth)
    if entry.path.suffix.lower() == ".gz":
        return gzip_table(unpacked, inner_source)
    return zip_table(unpacked, inner_source, member_name, scratch, depth + 1)


def _unpacked(path: Path, source: str, entry: Entry, scratch: Path, depth: int) -> Path:
    """Return a copy of the entry in ``scratch``, under a new name."""
    copy = scratch / f"inner-{depth}-{zlib.crc32(str(entry.path).encode()):08x}"
    scratch.mkdir(parents=True, exist_ok=True)
    member = _member_table(path, source, entry)
    with translate_archive_errors(member.source), member.open() as (stream, _), copy.open("wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
    return copy


def _member_table(path: Path, source: str, entry: Entry) -> CsvSource:
    member_source = f"{source}/{entry.shown}"

    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        archive = zipfile.ZipFile(path)
        try:
            member = archive.open(entry.info)
        except (RuntimeError, NotImplementedError) as error:
            archive.close()
            raise MlopsError(
                f"{member_source} cannot be unpacked: {error}", "unpack it yourself and give the CSV"
            ) from None
        except BaseException:
            archive.close()
            raise
        metered = SizeLimitedStream(member, member_source, entry.info.compress_size)  # type: ignore[arg-type]
        return ClosingReader(metered, (member, archive)), lambda: metered.count

    return CsvSource(member_source, entry.info.file_size, open_)


def checked_entries(archive: zipfile.ZipFile, source: str) -> list[Entry]:
    """Return the archive's files. Raise MlopsError if an entry is outside of it or unpacks to an absurd size."""
    entries = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        if not is_inside(str(path)) or ":" in (path.parts or ("",))[0] or is_link:
            kind = "a symbolic link" if is_link else "a path out of the archive"
            raise MlopsError(
                f"{source} is refused: its entry {info.filename!r} is {kind}", "get the archive from a source you trust"
            )
        if info.file_size > max_unpacked(info.compress_size):
            raise archive_bomb_error(f"{source}/{one_line(str(path))}")
        if not info.is_dir() and path.parts and path.parts[0] != "__MACOSX" and not path.name.startswith("."):
            entries.append(Entry(info, path))
    return entries
