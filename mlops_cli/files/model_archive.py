"""Model packages: pack a folder into a reproducible model.tar.gz; unpack an untrusted one safely."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from mlops_cli.errors import MlopsError
from mlops_cli.files.archive_names import is_inside
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.tar_archives import entries, open_tar

# Level 6 costs twice the time for 1 % less: weights hardly compress.
COMPRESSION = 4
CHUNK = 1 << 20
# Of two entries with one name, of a file that is a folder, too, and of a name that no file can have.
IMPOSSIBLE_NAME = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ)


def pack(folder: Path, target: Path, names: Sequence[str] | None = None) -> str:
    """Write the files of ``folder`` to ``target`` (.tar.gz) and return the archive's SHA-256 in hex.

    Pack all files, or only ``names``. Equal files give equal bytes: names are sorted; times, owners and modes are left
    out. The target appears only when it is complete. Raise MlopsError for anything but files and folders.
    """
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            with (
                gzip.GzipFile(filename="", mode="wb", compresslevel=COMPRESSION, fileobj=stream, mtime=0) as zipped,
                tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive,
            ):
                for path in _entries(folder) if names is None else [folder / name for name in sorted(names)]:
                    _add_entry(archive, folder, path)
            stream.flush()
            os.fsync(stream.fileno())
        digest = digest_file(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return digest


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar.gz into ``folder``, which is created. Raise MlopsError; then a part may be unpacked.

    Accept only plain files and folders with names below ``folder``: no links, no devices, no ``..``. Ignore the modes
    and owners in the archive.
    """
    with open_tar(archive, "r:gz") as opened:
        _extract(opened, folder)


def digest_contents(archive: Path) -> str:
    """Return one digest of the names and contents of an archive's files, however they are packed. Raise MlopsError."""
    rows = []
    with open_tar(archive) as opened:
        for entry in entries(opened):
            if content := opened.extractfile(entry):
                name = entry.name.removeprefix("./")
                digest = hashlib.sha256()
                for chunk in _chunks(content):
                    digest.update(chunk)
                rows.append(f"{name}\0{digest.hexdigest()}\n")
    return hashlib.sha256("".join(sorted(rows)).encode("utf-8", "surrogateescape")).hexdigest()


def copy_with_sha256(source: Path, target: Path) -> str:
    """Copy a file and return the SHA-256, in hex, of the written bytes."""
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        for chunk in _chunks(reader):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK):
        yield chunk


def _entries(folder: Path) -> list[Path]:
    entries = [path for path in folder.rglob("*") if "__pycache__" not in path.parts]
    return sorted(entries, key=lambda path: path.relative_to(folder).as_posix())


def _add_entry(archive: tarfile.TarFile, folder: Path, path: Path) -> None:
    entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise MlopsError(f"{path} is neither a file nor a folder.", "Keep links and devices out of SM_MODEL_DIR.")
    if path.is_dir():
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
        return
    entry.mode, entry.size = 0o644, path.stat().st_size
    with path.open("rb") as stream:
        archive.addfile(entry, stream)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for entry in entries(archive):
        try:
            _extract_entry(archive, entry, _target(folder, entry))
        except OSError as error:
            if error.errno not in IMPOSSIBLE_NAME:
                raise
            raise MlopsError(
                f"The archive has an entry that cannot be a file beside the others: {entry.name[:100]!r}: "
                f"{error.strerror}.",
                "Build the model package again.",
            ) from error


def _extract_entry(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.isdir():
        target.mkdir(exist_ok=True)
        return
    content = archive.extractfile(entry)
    if content is None:
        raise MlopsError(f"{entry.name} in {archive.name!s} has no content.")
    with content, target.open("xb") as stream:
        for chunk in _chunks(content):
            stream.write(chunk)


def _target(folder: Path, entry: tarfile.TarInfo) -> Path:
    """Return the entry's path. Raise MlopsError unless the entry is a file or folder below ``folder``."""
    name = PurePosixPath(entry.name)
    if not is_inside(entry.name):
        raise MlopsError(f"The archive names a path outside of itself: {entry.name!r}.", "Do not use this archive.")
    # Links are never created, so that no later entry can lead through one.
    if not (entry.isreg() or entry.isdir()):
        raise MlopsError(f"The archive has a link or a device: {entry.name!r}.", "Do not use this archive.")
    return folder.joinpath(*name.parts)
