"""Kaggle as a source: a competition, kaggle or kaggle:NAME; or a dataset, kaggle:OWNER/NAME."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.source import FetchedSource, Origin, Source, State
from mlops_cli.errors import ConfigurationError, MlopsError


class KaggleSource(Source):
    kind = "kaggle"

    @staticmethod
    def accepts(name: str) -> bool:
        return name == "kaggle" or name.startswith("kaggle:")

    @property
    def reference(self) -> str:
        return self.name.partition(":")[2] or self.request.competition

    def validate(self) -> None:
        if not self.reference:
            raise ConfigurationError(
                "no Kaggle competition is named",
                "set [data] competition in usecase.toml, or name it: "
                "mlops download-data --source kaggle:COMPETITION (a dataset: kaggle:OWNER/DATASET)",
            )
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", self.reference):
            raise ConfigurationError(
                f"{self.name} is neither a competition nor a dataset",
                "write kaggle:COMPETITION or kaggle:OWNER/DATASET",
            )

    def identity(self) -> list[object]:
        return [self.reference, self.request.file]

    @property
    def shown(self) -> str:
        return f"kaggle {self.reference}"

    def fetch(self, scratch: Path, report: Report) -> FetchedSource:
        from mlops_cli.data.sources.download_digest import verify_download
        from mlops_cli.data.sources.kaggle_client import download

        request = self.request
        origin = kaggle_origin(self.reference, self.name)
        try:
            path = download(self.reference, scratch, report, request.most_bytes)
        except MlopsError as error:
            if not request.alternative:
                raise
            hint = f"{error.hint}; to try it without Kaggle: mlops download-data --source {request.alternative}"
            raise MlopsError(error.message, hint, error.exit_code) from None
        verify_download(request, path, self.reference, scratch)
        return FetchedSource(origin, path, self.reference, is_archive=True)

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:  # noqa: ARG004
        if "files" not in origin:
            return State.UNKNOWN
        from mlops_cli.data.sources.kaggle_client import list_files

        return State.SAME if list_files(origin["competition"], seconds) == origin["files"] else State.CHANGED


def kaggle_origin(competition: str, shown: str = "kaggle") -> dict[str, Any]:
    """Return the competition's files by name, size and time; without files if Kaggle does not list them."""
    from mlops_cli.data.sources.http.client import CONNECT_SECONDS
    from mlops_cli.data.sources.kaggle_client import list_files

    origin = {"kind": "kaggle", "shown": shown, "competition": competition}
    with contextlib.suppress(MlopsError):  # the download itself reports the problem
        return {**origin, "files": list_files(competition, CONNECT_SECONDS)}
    return origin
