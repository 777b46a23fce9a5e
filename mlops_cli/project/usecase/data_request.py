"""The requests of ``download-data`` and ``quickstart``: the sources of the command, completed by usecase.toml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlops_cli.data.request import DataRequest
from mlops_cli.data.tables.schema import Schema
from mlops_cli.project.usecase.use_case import UseCase


def data_request(
    use_case: UseCase,
    sources: Sequence[str] = (),
    arguments: Mapping[str, str] | None = None,
    sha256: str | None = None,
) -> DataRequest:
    """Return the request of ``download-data``. Without sources, use those of usecase.toml."""
    # A path in usecase.toml is relative to the project, not to the current folder.
    folder = Path() if sources else use_case.root
    return DataRequest(
        sources=sources or [use_case.source],
        schema=Schema(use_case.columns) if use_case.columns else None,
        arguments=arguments or {},
        sha256=sha256,
        competition=use_case.competition,
        file=use_case.file,
        folder=folder,
        scripts=use_case.scripts,
        tables=use_case.tables,
        alternative=use_case.alternative,
    )


def quickstart_request(use_case: UseCase) -> DataRequest:
    return replace(data_request(use_case), sources=[use_case.quickstart])
