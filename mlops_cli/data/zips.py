"""Choose the one table of a zip archive, of nested ones too, without trusting any of them."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from mlops_cli.data.archive import CHUNK, Closing, Metered, Table, bomb, damage_named, gzip_table, most_unpacked
from mlops_cli.errors import MlopsError

_DEPTH = 3
_UNREAD = (".bz2", ".xz", ".zst", ".tar", ".tgz", ".7z", ".rar")
_ARCHIVES = (".zip", ".gz", *_UNREAD)
_NAMED = 10


@dataclass(frozen=True)
class Entry:
    """A file in the archive; ``path`` has slashes, also where the archive has backslashes, as some from Windows do."""

    info: zipfile.ZipInfo
    path: PurePosixPath

    @property
    def is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    @property
    def is_archive(self) -> bool:
        return self.path.suffix.lower() in _ARCHIVES


def zip_table(path: Path, place: str, wanted: str, scratch: Path, depth: int = 0) -> Table:
    """Return the table whose name is ``wanted``, or the only one.

    Archives inside archives are unpacked to ``scratch``, under names of our own. Raise MlopsError if there is no
    table, if there are several and none is ``wanted``, or if the archive is damaged or dangerous.
    """
    with damage_named(place), zipfile.ZipFile(path) as archive:
        entries = _checked(archive, place)
    entry = _chosen(entries, place, wanted)
    if not entry.is_archive:
        return _member_table(path, place, entry)
    if depth == _DEPTH:
        raise MlopsError(f"{place} holds archives in archives, more than {_DEPTH} deep", "unpack it and give the CSV")
    return _inner_table(path, place, entry, wanted, scratch, depth)


def _chosen(entries: Sequence[Entry], place: str, wanted: str) -> Entry:
    """The entry that is meant: what bears the name, then what bears it packed, then the only table of all."""
    packed = {wanted, PurePosixPath(wanted).stem}
    choices = (
        [entry for entry in entries if wanted and str(entry.path) == wanted],
        [entry for entry in entries if wanted and entry.path.name == wanted],
        [entry for entry in entries if wanted and entry.is_archive and entry.path.stem in packed],
        [entry for entry in entries if entry.is_csv or entry.is_archive],
    )
    candidates: Sequence[Entry] = next((choice for choice in choices if choice), [])
    if len(candidates) > 1:
        raise _several(place, candidates)
    if not candidates:
        names = _listed([str(entry.path) for entry in entries]) or "nothing in it"
        raise MlopsError(
            f"{place} holds no {wanted or 'CSV'}: it has {names}", "give the CSV itself, or another archive"
        )
    return candidates[0]


def _several(place: str, candidates: Sequence[Entry]) -> MlopsError:
    kinds = {entry.is_csv for entry in candidates}
    noun = "tables" if len(kinds) > 1 else "CSVs" if kinds == {True} else "archives"
    return MlopsError(
        f"{place} holds several {noun}: {_listed([str(entry.path) for entry in candidates])}",
        "unpack it and give those you mean, or name one in training/usecase.toml, under [data]: file = "
        f'"{candidates[0].path}"',
    )


def _listed(names: Sequence[str]) -> str:
    further = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + further


def _inner_table(path: Path, place: str, entry: Entry, wanted: str, scratch: Path, depth: int) -> Table:
    inner_place = f"{place}/{entry.path}"
    if entry.path.suffix.lower() in _UNREAD:
        raise MlopsError(f"{inner_place} is an archive of a kind that is not read", "unpack it and give the CSV")
    unpacked = scratch / f"inner-{depth}-{zlib.crc32(str(entry.path).encode()):08x}"
    scratch.mkdir(parents=True, exist_ok=True)
    member = _member_table(path, place, entry)
    with damage_named(inner_place), member.open() as (stream, _), unpacked.open("wb") as out:
        while chunk := stream.read(CHUNK):
            out.write(chunk)
    if entry.path.suffix.lower() == ".gz":
        return gzip_table(unpacked, inner_place)
    return zip_table(unpacked, inner_place, wanted, scratch, depth + 1)


def _member_table(path: Path, place: str, entry: Entry) -> Table:
    member_place = f"{place}/{entry.path}"

    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        archive = zipfile.ZipFile(path)
        try:
            member = archive.open(entry.info)
        except (RuntimeError, NotImplementedError) as error:
            archive.close()
            raise MlopsError(
                f"{member_place} cannot be unpacked: {error}", "unpack it yourself and give the CSV"
            ) from None
        except BaseException:
            archive.close()
            raise
        metered = Metered(member, member_place, entry.info.compress_size)  # type: ignore[arg-type]
        return Closing(metered, (member, archive)), lambda: metered.count

    return Table(member_place, entry.info.file_size, open_)


def _checked(archive: zipfile.ZipFile, place: str) -> list[Entry]:
    """The archive's files; MlopsError if any entry points out of it or unpacks to something absurd."""
    entries = []
    for info in archive.infolist():
        path = PurePosixPath(info.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0] or is_link:
            kind = "a symbolic link" if is_link else "a path out of the archive"
            raise MlopsError(
                f"{place} is refused: its entry {info.filename!r} is {kind}", "get the archive from a source you trust"
            )
        if info.file_size > most_unpacked(info.compress_size):
            raise bomb(f"{place}/{path}")
        if not info.is_dir() and path.parts and path.parts[0] != "__MACOSX" and not path.name.startswith("."):
            entries.append(Entry(info, path))
    return entries
