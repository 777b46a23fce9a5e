"""A kind of data source: one class in one file, and one line in ``catalog.SOURCES``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_cli.core.progress import Report

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest

Origin = dict[str, Any]


class State(Enum):
    SAME = "same"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class FetchedSource:
    """A file or folder on this machine, its name for messages, the source's state (``origin``), and a remark."""

    origin: Origin
    path: Path
    name: str
    remark: str = ""
    is_archive: bool = False


class Source(ABC):
    """One source of a request. Import heavy packages inside the methods: `mlops run` only needs states."""

    kind: ClassVar[str]
    # The state is known without a server, so `download-data` always checks it.
    is_state_local: ClassVar[bool] = False
    # The state is a part of the request's key, so `download-data --refresh` need not check it.
    is_state_in_identity: ClassVar[bool] = False

    def __init__(self, name: str, request: DataRequest) -> None:
        self.name = name
        self.request = request

    @staticmethod
    @abstractmethod
    def accepts(name: str) -> bool:
        """Return True for the names of this kind."""

    def validate(self) -> None:
        """Raise ConfigurationError if something that the source needs is missing."""
        return

    @property
    def is_synthetic(self) -> bool:
        """Return True if the rows are invented, so that other data may replace them."""
        return False

    @abstractmethod
    def identity(self) -> list[object]:
        """Return all that determines the source's content besides its name and changes on servers. No secret."""

    @property
    def shown(self) -> str:
        """The source for display, without secrets."""
        return self.name

    @abstractmethod
    def fetch(self, scratch: Path, report: Report) -> FetchedSource:
        """Download or find the source's files. Raise MlopsError if it is unavailable."""

    @staticmethod
    def state(origin: Origin, known_urls: Iterable[str], seconds: float) -> State:  # noqa: ARG004
        """Return the present state of a source with this origin. Raise MlopsError if it cannot be reached."""
        return State.UNKNOWN
