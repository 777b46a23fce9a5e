"""The request of a download, and its equality."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlops_cli.data.objects import ObjectStore
from mlops_cli.data.scripts import DataScript, ScriptRunner
from mlops_cli.data.sources.catalog import sources_of
from mlops_cli.data.sources.http.download import MOST_BYTES
from mlops_cli.data.sources.script_source import ScriptSource
from mlops_cli.data.tables.schema import Schema, TableFiles
from mlops_cli.errors import ConfigurationError

_VERSION = 2  # the version of the dataset's format: a dataset of another version is downloaded again


@dataclass(frozen=True)
class DataRequest:
    """A request. Sources are "kaggle", URLs, s3://, paths and scripts of the project; several are concatenated.

    Without a ``schema``, the dataset is the unchanged files of the sources; ``tables`` among them have schemas of their
    own.

    ``arguments``: for the scripts among the sources. ``sha256``: of a single file, URL or Kaggle archive as downloaded.
    ``competition`` and ``file`` select from Kaggle; ``file`` also selects the CSV in an archive. ``folder``: the base
    of relative paths. ``most_bytes``: the download limit of one source. ``refresh``: ask servers again for downloaded
    files. ``scripts``: the scripts named in usecase.toml; the target's ``runner`` runs them. ``alternative``: a source
    that needs no account. ``objects``: reads from S3.
    """

    sources: Sequence[str]
    schema: Schema | None
    arguments: Mapping[str, str] = field(default_factory=dict)
    sha256: str | None = None
    competition: str = ""
    file: str = ""
    folder: Path = Path()
    most_bytes: int = MOST_BYTES
    refresh: bool = False
    scripts: Mapping[str, DataScript] = field(default_factory=dict)
    runner: ScriptRunner | None = None
    alternative: str = ""
    objects: ObjectStore | None = None
    tables: Mapping[str, TableFiles] = field(default_factory=dict)

    @property
    def is_table(self) -> bool:
        return self.schema is not None

    def validate(self) -> None:
        if not self.sources or not all(source.strip() for source in self.sources):
            raise ConfigurationError(
                "no source is given",
                "name it: mlops download-data --source PATH, or [data] source in usecase.toml",
            )
        sources = sources_of(self)
        self._check_arguments()
        if self.sha256 is not None and (len(sources) > 1 or isinstance(sources[0], ScriptSource)):
            raise ConfigurationError(
                "--sha256 belongs to one file, URL or Kaggle archive", "leave it out, or give one source"
            )
        if self.sha256 is not None and (len(self.sha256) != 64 or set(self.sha256.lower()) - set("0123456789abcdef")):
            raise ConfigurationError(f"--sha256 {self.sha256!r} is not 64 hexadecimal digits", "copy it again")
        for source in sources:
            source.validate()

    def _check_arguments(self) -> None:
        """Raise ConfigurationError for an argument that belongs to no script among the sources."""
        scripts = {name: self.scripts[name] for name in self.sources if name in self.scripts}
        arguments = {argument for script in scripts.values() for argument in script.arguments}
        for argument in sorted(self.arguments.keys() - arguments):
            having = [name for name, script in self.scripts.items() if argument in script.arguments]
            raise ConfigurationError(
                f"{argument} is no argument of the source {' + '.join(self.sources)}",
                f"mlops download-data --source {having[0]} --set {argument}={self.arguments[argument]}"
                if having
                else "leave it out, or add it to [data.scripts] in usecase.toml",
            )

    def key(self) -> str:
        """The digest of everything that determines the dataset, except changes on servers. It contains no secret."""
        parts: list[object] = [_VERSION, list(self.schema.columns.items()) if self.schema else []]
        for source in sources_of(self):
            parts += [source.name, source.identity()]
        for name, table in self.tables.items():
            parts += [name, table.file, list(table.schema.columns.items())]
        return hashlib.sha256(json.dumps([*parts, self.sha256]).encode()).hexdigest()

    def shown(self) -> str:
        """The sources for display: without secrets; synthetic data are marked."""
        return " + ".join(source.shown for source in sources_of(self))
