"""Names in archives and buckets: untrusted, because the packer has chosen them."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_inside(name: str) -> bool:
    """Return True if a name stays in the folder that it is unpacked to."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name
