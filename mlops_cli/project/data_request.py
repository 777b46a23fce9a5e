"""The requests of ``download-data`` and ``quickstart``: what a command names, completed by usecase.toml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mlops_cli.data.request import DataRequest
from mlops_cli.data.schema import Schema
from mlops_cli.project.usecase import UseCase


def data_request(
    use_case: UseCase,
    sources: Sequence[str] = (),
    rows: int | None = None,
    seed: int = 42,
    sha256: str | None = None,
) -> DataRequest:
    """Return the request of ``download-data``; without sources, with those of usecase.toml."""
    # A path in usecase.toml is relative to the project, not to the current folder.
    folder = Path() if sources else use_case.root
    schema = Schema(use_case.columns)
    return DataRequest(
        sources or [use_case.source], schema, rows, seed, sha256, use_case.competition, use_case.file, folder
    )


def quickstart_request(use_case: UseCase) -> DataRequest:
    return replace(data_request(use_case), sources=[use_case.quickstart])
