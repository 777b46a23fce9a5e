"""The request of a download, and its equality."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_cli.data.schema import Schema
from mlops_cli.data.sources.catalog import sources_of
from mlops_cli.data.sources.http.download import MOST_BYTES
from mlops_cli.errors import ConfigurationError

_VERSION = 2  # of the dataset's format: one of another version is downloaded again


@dataclass(frozen=True)
class DataRequest:
    """A request: sources are "kaggle", "sample", URLs and paths; several are concatenated.

    ``rows`` is for the sample only, ``sha256`` for a single file, URL or Kaggle archive as downloaded. ``competition``
    and ``file`` select from Kaggle (``file`` also the CSV of an archive with several). ``folder`` is the base of
    relative paths; ``most_bytes`` limits the download of one source; ``refresh`` asks servers again for downloaded
    files.
    """

    sources: Sequence[str]
    schema: Schema
    rows: int | None = None
    seed: int = 42
    sha256: str | None = None
    competition: str = ""
    file: str = ""
    folder: Path = Path()
    most_bytes: int = MOST_BYTES
    refresh: bool = False

    def validate(self) -> None:
        if not self.sources or not all(source.strip() for source in self.sources):
            raise ConfigurationError("no source is given", "mlops download-data --source sample")
        sources = sources_of(self)
        if self.rows is not None and (not any(source.is_synthetic for source in sources) or self.rows < 1):
            raise ConfigurationError(
                f"--rows {self.rows} is not valid: it is the number of rows of --source sample, at least 1",
                "mlops download-data --source sample --rows 20000",
            )
        if self.sha256 is not None and (len(sources) > 1 or sources[0].is_synthetic):
            raise ConfigurationError(
                "--sha256 belongs to one file, URL or Kaggle archive", "leave it out, or give one source"
            )
        if self.sha256 is not None and (len(self.sha256) != 64 or set(self.sha256.lower()) - set("0123456789abcdef")):
            raise ConfigurationError(f"--sha256 {self.sha256!r} is not 64 hexadecimal digits", "copy it again")
        for source in sources:
            source.validate()

    def key(self) -> str:
        """The digest of all that determines the dataset, except changes on servers; contains no secret."""
        parts: list[object] = [_VERSION, list(self.schema.columns.items())]
        for source in sources_of(self):
            parts += [source.name, source.identity()]
        return hashlib.sha256(json.dumps([*parts, self.sha256]).encode()).hexdigest()

    def shown(self) -> str:
        """The sources for people: without secrets, and with a mark on synthetic data."""
        return " + ".join(source.shown for source in sources_of(self))
