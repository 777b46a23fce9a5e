"""Unpack an untrusted archive into a dataset of files: only plain files, only below the dataset's folder."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mlops_cli.data.compression.compressed import SizeLimitedStream, translate_archive_errors
from mlops_cli.data.compression.inflate import Inflated
from mlops_cli.data.files import FileCollector, is_clutter
from mlops_cli.errors import MlopsError
from mlops_cli.files.tar_archives import MALFORMED, CheckedHeader

ZIP, TAR = (".zip",), (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_END_MARKER = 1024


def is_archive(name: str) -> bool:
    return name.lower().endswith((*ZIP, *TAR))


def unpack(path: Path, name: str, collector: FileCollector) -> None:
    """Add the files of an archive, recognized by its first bytes. Raise MlopsError if it is damaged or dangerous."""
    with translate_archive_errors(name):
        if zipfile.is_zipfile(path):
            _unpack_zip(path, name, collector)
        else:
            _unpack_tar(path, name, collector)


def _unpack_zip(path: Path, source: str, collector: FileCollector) -> None:
    from mlops_cli.data.compression.zips import checked_entries

    with zipfile.ZipFile(path) as archive:
        for entry in checked_entries(archive, source):
            if is_clutter(entry.path):
                continue
            try:
                member = archive.open(entry.info)
            except RuntimeError as error:
                raise MlopsError(f"{source}/{entry.shown} cannot be unpacked: {error}", "unpack it yourself") from None
            with member:
                limited = SizeLimitedStream(member, f"{source}/{entry.shown}", entry.info.compress_size)  # type: ignore[arg-type]
                collector.add(entry.path, io.BufferedReader(limited), source)


def _unpack_tar(path: Path, source: str, collector: FileCollector) -> None:
    with path.open("rb") as raw:
        limited = SizeLimitedStream(_uncompressed(raw), source, path.stat().st_size)
        try:
            with tarfile.open(fileobj=io.BufferedReader(limited), mode="r|", tarinfo=CheckedHeader) as archive:
                for member in archive:
                    _add_member(archive, member, source, collector)
            while limited.read(1 << 20):  # the end of the archive, and the end of the packed data
                pass
        except MALFORMED as error:
            raise MlopsError(f"{source} is damaged or no archive: {error}", "get it again") from None


def _uncompressed(raw: BinaryIO) -> BinaryIO | io.RawIOBase:
    magic = raw.read(6)
    raw.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return Inflated(raw)
    if magic.startswith(b"BZh"):
        return cast(BinaryIO, bz2.BZ2File(raw))
    if magic.startswith(b"\xfd7zXZ"):
        return cast(BinaryIO, lzma.LZMAFile(raw))
    # Without compression, only the end marker shows that no file is missing, and tarfile does not require it.
    raw.seek(max(0, raw.seek(0, io.SEEK_END) - _END_MARKER))
    if raw.read() != bytes(_END_MARKER):
        raise EOFError("it ends before its end marker")
    raw.seek(0)
    return raw


def _add_member(archive: tarfile.TarFile, member: tarfile.TarInfo, source: str, collector: FileCollector) -> None:
    name = PurePosixPath(member.name)
    if member.isdir():
        return
    if not member.isfile() or member.issparse():
        kind = "a link" if member.islnk() or member.issym() else "a sparse file" if member.issparse() else "a device"
        raise MlopsError(
            f"{source} is refused: its entry {member.name!r} is {kind}",
            "pack plain files only, from a source you trust",
        )
    if not is_clutter(name) or ".." in name.parts:
        stream = archive.extractfile(member)
        assert stream is not None, "a plain file has content"
        collector.add(name, stream, source)  # type: ignore[arg-type]
