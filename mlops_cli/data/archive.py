"""Finds the CSV inside .csv, .csv.gz and .zip files, nested ones too, and reads it without trusting it."""

from __future__ import annotations

import gzip
import io
import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

from mlops_cli.errors import MlopsError

# DEFLATE cannot do better than 1:1032; prose and tables stay under 1:20.
MAX_RATIO = 200
MAX_UNPACKED = 64 * 2**30
_RATIO_MATTERS_FROM = 64 * 2**20
_DEPTH = 3
_CHUNK = 1 << 20
_TABLE_ENDINGS = (".csv", ".csv.gz", ".zip")


class Metered(io.RawIOBase):
    """A binary stream that counts what was read and refuses to go on beyond what is plausible."""

    def __init__(self, stream: BinaryIO, place: str, packed: int | None) -> None:
        self._stream, self._place = stream, place
        self._limit = MAX_UNPACKED if packed is None else min(MAX_UNPACKED, _most(packed))
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self.count += len(chunk)
        if self.count > self._limit:
            raise _bomb(self._place)
        return len(chunk)


@dataclass(frozen=True)
class Table:
    """One CSV: what to call it, its size on disk in bytes, and how to open it.

    ``open`` gives the bytes of the CSV and a function that says how many of ``size`` were used up.
    """

    place: str
    size: int
    _open: Callable[[], tuple[BinaryIO, Callable[[], int]]]

    @contextmanager
    def open(self) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
        stream, position = self._open()
        with stream:
            yield stream, position


def is_table(name: str) -> bool:
    return name.lower().endswith(_TABLE_ENDINGS)


def tables(path: Path, place: str, wanted: str, scratch: Path) -> list[Table]:
    """The one table in a file; of several in an archive, the one whose name is ``wanted``.

    Archives inside archives are unpacked to ``scratch``, under names of our own. MlopsError if there is no
    table, if there are several and none is ``wanted``, or if the archive is damaged or dangerous.
    """
    with path.open("rb") as stream:
        magic = stream.read(4)
    if magic[:2] == b"\x1f\x8b":
        return [_gzip_table(path, place)]
    if magic == b"PK\x03\x04" or path.suffix.lower() == ".zip":
        return [_zip_table(path, place, wanted, scratch)]
    return [_plain_table(path, place)]


def _plain_table(path: Path, place: str) -> Table:
    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        raw = path.open("rb")
        return raw, raw.tell

    return Table(place, path.stat().st_size, open_)


def _gzip_table(path: Path, place: str) -> Table:
    size = path.stat().st_size

    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        raw = path.open("rb")
        unpacked = gzip.GzipFile(fileobj=raw)
        metered = Metered(unpacked, place, size)  # type: ignore[arg-type]
        return _Closing(metered, (unpacked, raw)), raw.tell

    return Table(place, size, open_)


class SupportsClose(Protocol):
    def close(self) -> None: ...


class _Closing(io.BufferedReader):
    """Closes what lies below, too."""

    def __init__(self, raw: io.RawIOBase, below: tuple[SupportsClose, ...]) -> None:
        super().__init__(raw, _CHUNK)
        self._below = below

    def close(self) -> None:
        super().close()
        for resource in self._below:
            resource.close()


def _zip_table(path: Path, place: str, wanted: str, scratch: Path) -> Table:
    table = _find(path, place, wanted, scratch, 0)
    if table is None:
        raise MlopsError(
            f"{place} holds no {wanted or 'CSV'}: it has {_listing(path, place)}",
            "give the CSV itself, or another archive",
        )
    return table


def _find(path: Path, place: str, wanted: str, scratch: Path, depth: int) -> Table | None:
    """The table in this archive or in those inside it."""
    with damage_named(place), zipfile.ZipFile(path) as archive:
        entries = _checked(archive, place)
    direct = [entry for entry in entries if entry.filename.lower().endswith(".csv")]
    named = [entry for entry in direct if PurePosixPath(entry.filename).name == wanted]
    inner = [entry for entry in entries if entry.filename.lower().endswith((".zip", ".gz"))]
    inner_named = [e for e in inner if PurePosixPath(e.filename).stem == wanted]
    if len(named) == 1 or (len(direct) == 1 and not inner):
        return _member_table(path, place, (named or direct)[0].filename)
    if len(named) > 1 or (direct and not inner):
        raise MlopsError(
            f"{place} holds several CSVs: {', '.join(entry.filename for entry in (named or direct)[:10])}",
            "unpack it and give the one you mean",
        )
    if depth == _DEPTH:
        raise MlopsError(f"{place} holds archives in archives, more than {_DEPTH} deep", "unpack it and give the CSV")
    if len(inner_named or inner) > 1 and not inner_named and not wanted:
        raise MlopsError(f"{place} holds several archives", "unpack it and give the one you mean")
    for entry in inner_named or inner:
        found = _find_inside(path, place, entry.filename, wanted, scratch, depth)
        if found is not None:
            return found
    return None


def _find_inside(path: Path, place: str, name: str, wanted: str, scratch: Path, depth: int) -> Table | None:
    inner_place = f"{place}/{name}"
    unpacked = scratch / f"inner-{depth}-{zlib.crc32(name.encode()):08x}"
    scratch.mkdir(parents=True, exist_ok=True)
    member = _member_table(path, place, name)
    with damage_named(inner_place), member.open() as (stream, _), unpacked.open("wb") as out:
        while chunk := stream.read(_CHUNK):
            out.write(chunk)
    if name.lower().endswith(".gz"):
        return _gzip_table(unpacked, inner_place)
    return _find(unpacked, inner_place, wanted, scratch, depth + 1)


def _member_table(path: Path, place: str, name: str) -> Table:
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(name)

    def open_() -> tuple[BinaryIO, Callable[[], int]]:
        archive = zipfile.ZipFile(path)
        try:
            member = archive.open(name)
        except (RuntimeError, NotImplementedError) as error:
            archive.close()
            raise MlopsError(
                f"{place}/{name} cannot be unpacked: {error}", "unpack it yourself and give the CSV"
            ) from None
        metered = Metered(member, f"{place}/{name}", entry.compress_size)  # type: ignore[arg-type]
        return _Closing(metered, (member, archive)), lambda: metered.count

    return Table(f"{place}/{name}", entry.file_size, open_)


def _checked(archive: zipfile.ZipFile, place: str) -> list[zipfile.ZipInfo]:
    """The archive's files; MlopsError if any entry points out of it or unpacks to something absurd."""
    files = []
    for entry in archive.infolist():
        path = PurePosixPath(entry.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        if path.is_absolute() or ".." in path.parts or ":" in (path.parts or ("",))[0] or is_link:
            kind = "a symbolic link" if is_link else "a path out of the archive"
            raise MlopsError(
                f"{place} is refused: its entry {entry.filename!r} is {kind}", "get the archive from a source you trust"
            )
        if entry.file_size > _most(entry.compress_size):
            raise _bomb(f"{place}/{entry.filename}")
        if not entry.is_dir() and path.parts[0] != "__MACOSX" and not path.name.startswith("."):
            files.append(entry)
    return files


def _listing(path: Path, place: str) -> str:
    with damage_named(place), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return (
        ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        if names
        else "nothing in it"
    )


def _most(packed: int) -> int:
    """The most bytes that ``packed`` ones may unpack to."""
    return min(MAX_UNPACKED, max(_RATIO_MATTERS_FROM, packed * MAX_RATIO))


def _bomb(place: str) -> MlopsError:
    return MlopsError(
        f"{place} is refused: it unpacks to more than {MAX_RATIO} times its size",
        "get the archive from a source you trust",
    )


@contextmanager
def damage_named(place: str) -> Iterator[None]:
    """Turns what the unpackers raise on broken archives into an MlopsError."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise MlopsError(f"{place} is damaged or cut short: {error}", "get it again") from None
