"""Objects in S3 as a source sees them; the targets know AWS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """``version`` is the ETag."""

    key: str
    size: int
    version: str


class ObjectStore(Protocol):
    """Reads objects with the credentials of the caller. Each method raises MlopsError if that fails."""

    def list_objects(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects with keys that begin with the prefix, by key."""

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Write an object to ``path``."""
