"""The kinds of data sources. The first kind that accepts a source's name is used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mlops_cli.data.sources.kaggle_source import KaggleSource
from mlops_cli.data.sources.path_source import PathSource
from mlops_cli.data.sources.s3_source import S3Source, objects_state
from mlops_cli.data.sources.script_source import ScriptSource
from mlops_cli.data.sources.source import Origin, Source, State
from mlops_cli.data.sources.url_source import UrlSource

if TYPE_CHECKING:
    from mlops_cli.data.objects import ObjectStore
    from mlops_cli.data.request import DataRequest
    from mlops_cli.data.scripts import DataScript

SOURCES: tuple[type[Source], ...] = (KaggleSource, S3Source, UrlSource, ScriptSource, PathSource)


def kind_of(name: str, scripts: Mapping[str, DataScript]) -> type[Source]:
    """Return the kind of a source. ``scripts``: the scripts with names in usecase.toml."""
    return ScriptSource if name in scripts else next(kind for kind in SOURCES if kind.accepts(name))


def sources_of(request: DataRequest) -> list[Source]:
    return [kind_of(name, request.scripts)(name, request) for name in request.sources]


def state_of(origin: Origin, known_urls: Iterable[str], seconds: float, objects: ObjectStore | None = None) -> State:
    """Return the present state of a downloaded source. Raise MlopsError if it cannot be reached."""
    if origin["kind"] == S3Source.kind:
        return objects_state(origin, objects)
    kind = next((kind for kind in SOURCES if kind.kind == origin["kind"]), None)
    return kind.state(origin, known_urls, seconds) if kind else State.UNKNOWN
