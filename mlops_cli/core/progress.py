"""Progress of long work, reported independently of the display."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Report(Protocol):
    """Called from time to time with the progress of one phase.

    ``done`` and ``total`` are in ``unit`` ("B" for bytes, "rows", ...); ``total`` is None if unknown. A phase begins
    with its first call and ends with the first call of another phase.
    """

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None: ...


def no_report(phase: str, done: int, total: int | None, unit: str) -> None:
    """Show nothing."""


@dataclass(frozen=True)
class ResourceEvent:
    """One step in the creation, change or deletion of a resource.

    ``group``: its stack or folder; ``kind``: its type; ``status``: the target's own word; ``at``: seconds since the
    epoch.
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
    """Show nothing."""
