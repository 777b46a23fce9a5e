"""The interface for S3 objects as a data source. The targets implement it with AWS's API."""

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
    """Reads objects with the caller's credentials. Each method raises MlopsError if that fails."""

    def list_objects(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        """Yield the objects whose keys begin with the prefix, in the order of keys."""

    def download(self, bucket: str, key: str, path: Path) -> None:
        """Write an object to ``path``."""
