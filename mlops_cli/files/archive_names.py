"""Names in archives and buckets. They are untrusted, because another person or program chose them."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_inside(name: str) -> bool:
    """Return True if a name stays inside the folder into which it is unpacked."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\0" not in name
