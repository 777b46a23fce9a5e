"""How long work reports how far it is, without knowing who shows it."""

from __future__ import annotations

from typing import Protocol


class Report(Protocol):
    """Told every now and then how far one phase of the work is.

    ``done`` and ``total`` are in ``unit`` ("B" for bytes, "rows", ...); ``total`` is None if unknown.
    A phase begins with its first call and ends with the first call that names another phase.
    """

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None: ...


def silent(phase: str, done: int, total: int | None, unit: str) -> None:
    """A Report that shows nothing."""
