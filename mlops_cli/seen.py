"""What commands have seen of a target that lies far away, so that a Tab need not wait for the network.

A small file in .mlops/, written by commands that have just listed runs or models, read by the shell's completion and by
nothing else: it may be old, and nothing is decided by it. Without the file, or with a damaged one, there is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mlops_cli.files import read_json, write_whole

if TYPE_CHECKING:
    from mlops_cli.registry import ModelVersion
    from mlops_cli.runs import Run

NAME = "seen.json"
MOST = 50
MOST_PLACES = 10


class SeenRun(NamedTuple):
    """``created_at`` in seconds since the epoch."""

    id: str
    status: str
    created_at: float


class SeenVersion(NamedTuple):
    """``trained_at`` in seconds since the epoch; ``said`` what was decided about it."""

    name: str
    said: str
    approved: bool
    trained_at: float


Row = TypeVar("Row", SeenRun, SeenVersion)


def seen_runs(runs: Iterable[Run]) -> list[SeenRun]:
    return [SeenRun(run.id, run.status.value, run.created_at) for run in runs]


def seen_versions(models: Iterable[ModelVersion]) -> list[SeenVersion]:
    return [SeenVersion(one.name, _said(one), one.approved, one.trained_at) for one in models]


def _said(model: ModelVersion) -> str:
    if model.decision is None:
        return "not decided"
    return "approved" if model.approved else "rejected"


class Seen:
    """Of one place: a use case's environment in one account. Only a .mlops/ that is there already is written into."""

    def __init__(self, state: Path, place: str) -> None:
        self._file = state / NAME
        self._place = place

    def runs(self) -> list[SeenRun]:
        """The newest first, as they were when somebody last looked."""
        return self._rows("runs", SeenRun)

    def versions(self) -> list[SeenVersion]:
        return self._rows("versions", SeenVersion)

    def note_runs(self, runs: Sequence[Run]) -> None:
        """All runs, the newest first."""
        self._note("runs", seen_runs(runs))

    def note_run(self, run: Run) -> None:
        """One run; a new one is the newest."""
        (own,) = seen_runs([run])
        known = self.runs()
        there = any(one.id == run.id for one in known)
        self._note("runs", [own if one.id == run.id else one for one in known] if there else [own, *known])

    def note_versions(self, models: Sequence[ModelVersion]) -> None:
        self._note("versions", seen_versions(models))

    def forget(self) -> None:
        """When all that was seen is removed."""
        document = self._document()
        if document.pop(self._place, None) is not None:
            self._write(document)

    def _rows(self, kind: str, make: Callable[..., Row]) -> list[Row]:
        with suppress(TypeError, ValueError, AttributeError):
            return [make(*row) for row in self._document().get(self._place, {}).get(kind, [])]
        return []

    def _document(self) -> dict[str, Any]:
        return read_json(self._file) or {}

    def _note(self, kind: str, rows: Sequence[SeenRun] | Sequence[SeenVersion]) -> None:
        document = self._document()
        known = document.pop(self._place, {})
        known = known if isinstance(known, dict) else {}
        document[self._place] = {**known, kind: [list(row) for row in rows[:MOST]]}
        self._write(dict(list(document.items())[-MOST_PLACES:]))

    def _write(self, document: dict[str, Any]) -> None:
        """A command is not to fail for what only a Tab is faster by."""
        if not (self._file.parent / "project.json").is_file():
            return
        with suppress(OSError):
            write_whole(self._file, json.dumps(document))
