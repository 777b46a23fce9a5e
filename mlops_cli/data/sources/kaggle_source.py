"""A Kaggle competition."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mlops_cli.core.progress import Report
from mlops_cli.data.sources.source import OpenedSource, Origin, Source, State
from mlops_cli.errors import ConfigurationError, MlopsError


class KaggleSource(Source):
    kind = "kaggle"

    @staticmethod
    def accepts(name: str) -> bool:
        return name == "kaggle"

    def validate(self) -> None:
        if not self.request.competition:
            raise ConfigurationError(
                "no Kaggle competition is named", "set [data] competition in training/usecase.toml"
            )

    def identity(self) -> list[object]:
        return [self.request.competition, self.request.file]

    @property
    def shown(self) -> str:
        return f"kaggle {self.request.competition}"

    def open(self, scratch: Path, report: Report) -> OpenedSource:
        from mlops_cli.data.sources.kaggle import download
        from mlops_cli.data.sources.received import received_tables

        request = self.request
        origin = kaggle_origin(request.competition)
        try:
            path = download(request.competition, scratch, report, request.most_bytes)
        except MlopsError as error:
            if not request.alternative:
                raise
            hint = f"{error.hint}; to try it without Kaggle: mlops download-data --source {request.alternative}"
            raise MlopsError(error.message, hint, error.exit_code) from None
        return OpenedSource(origin, received_tables(request, path, request.competition, scratch))

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:  # noqa: ARG004
        if "files" not in origin:
            return State.UNKNOWN
        from mlops_cli.data.sources.kaggle import list_files

        return State.SAME if list_files(origin["competition"], seconds) == origin["files"] else State.CHANGED


def kaggle_origin(competition: str) -> dict[str, Any]:
    """Return the competition's files by name, size and time; without them if Kaggle does not list them."""
    from mlops_cli.data.sources.http.client import CONNECT_SECONDS
    from mlops_cli.data.sources.kaggle import list_files

    origin = {"kind": "kaggle", "shown": "kaggle", "competition": competition}
    with contextlib.suppress(MlopsError):  # the download itself says what is wrong
        return {**origin, "files": list_files(competition, CONNECT_SECONDS)}
    return origin
