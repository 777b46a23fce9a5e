"""The files of the model package in service: unpacked from the approved archive, and watched."""

from __future__ import annotations

import os
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_file
from mlops_cli.files.model_archive import unpack

# Files that Python would import besides the package's own files.
CODE = (".py", ".pyc", ".so", ".pth")
Stamp = tuple[int, int, int, int]


class PackageFiles:
    """An archive and its unpacked folder. Their stamps show a change without reading the files."""

    def __init__(self, archive: Path, folder: Path, digest: str) -> None:
        """Unpack the archive. Raise MlopsError if it does not have the digest."""
        self.folder = folder
        self._archive = archive
        self._archive_stamp = _stamp(archive)
        actual = digest_file(archive)
        if actual != digest:
            raise MlopsError(
                f"The model package {archive} was changed: its sha256 is {actual}, approved is {digest}.",
                "Deploy the approved model again: mlops run --from deploy",
            )
        unpack(archive, folder)
        if _stamp(archive) != self._archive_stamp:
            raise MlopsError(
                f"The model package {archive} was changed while it was unpacked.", "mlops run --from deploy"
            )
        self._stamps = {name: _stamp(folder / name) for name in _names(folder)}

    def changes(self) -> list[str]:
        """Return the names of the files that were changed, removed or added since."""
        names = set(_names(self.folder))
        changed = [
            name for name, stamp in self._stamps.items() if name not in names or stamp != _stamp(self.folder / name)
        ]
        added = [name for name in names - self._stamps.keys() if name.endswith(CODE) or name.split("/")[0].isdecimal()]
        archive = [self._archive.name] if _stamp(self._archive) != self._archive_stamp else []
        return sorted([*changed, *added, *archive])


def _names(folder: Path) -> list[str]:
    return [
        os.path.relpath(os.path.join(parent, file), folder)  # noqa: PTH118 - many files, once a second
        for parent, _, files in os.walk(folder)
        for file in files
    ]


def _stamp(path: Path) -> Stamp:
    """Return a mark that changes with the content: nobody can set the change time of an inode."""
    try:
        stat = path.lstat()
    except OSError:
        return (0, 0, 0, 0)
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
