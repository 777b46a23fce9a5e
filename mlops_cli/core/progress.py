"""How long work reports how far it is, without knowing who shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Report(Protocol):
    """Told every now and then how far one phase of the work is.

    ``done`` and ``total`` are in ``unit`` ("B" for bytes, "rows", ...); ``total`` is None if unknown.
    A phase begins with its first call and ends with the first call that names another phase.
    """

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None: ...


def no_report(phase: str, done: int, total: int | None, unit: str) -> None:
    """A Report that shows nothing."""


@dataclass(frozen=True)
class ResourceEvent:
    """One step of a resource that is made, changed or removed.

    ``group`` names what it belongs to, ``kind`` what it is, ``status`` is the target's own word; ``at`` in seconds
    since the epoch.
    """

    group: str
    name: str
    kind: str
    status: str
    reason: str = ""
    at: float = 0.0

    @property
    def failed(self) -> bool:
        return self.status.endswith("FAILED")

    @property
    def ended(self) -> bool:
        return not self.status.endswith("IN_PROGRESS")


Watch = Callable[[ResourceEvent], None]


def no_watch(event: ResourceEvent) -> None:
    """A Watch that shows nothing."""
