"""The runs and models on AWS that commands have listed, so that Tab completion need not wait for the network.

It is a small file in .mlops/. Commands that have just listed runs or models write it, and only the shell's completion
reads it. It may be outdated; no command uses it for a decision. A missing or damaged file counts as empty.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from mlops_cli.files.atomic import read_json, write_atomically

if TYPE_CHECKING:
    from mlops_cli.core.models.model_versions import ModelVersion
    from mlops_cli.core.runs import Run

NAME = "seen.json"
MAX_ROWS = 50
MAX_TARGETS = 10


class CachedRun(NamedTuple):
    """``created_at``: seconds since the epoch."""

    id: str
    status: str
    created_at: float


class CachedVersion(NamedTuple):
    """``trained_at``: seconds since the epoch. ``said``: the decision."""

    name: str
    decision: str
    approved: bool
    trained_at: float


Row = TypeVar("Row", CachedRun, CachedVersion)


def cached_runs(runs: Iterable[Run]) -> list[CachedRun]:
    return [CachedRun(run.id, run.status.value, run.created_at) for run in runs]


def cached_versions(models: Iterable[ModelVersion]) -> list[CachedVersion]:
    return [CachedVersion(model.name, _decision_text(model), model.approved, model.trained_at) for model in models]


def _decision_text(model: ModelVersion) -> str:
    if model.decision is None:
        return "not decided"
    return "approved" if model.approved else "rejected"


class CompletionCache:
    """The cache of one environment in one account. Never creates .mlops/."""

    def __init__(self, state: Path, target_key: str) -> None:
        self._file = state / NAME
        self._target_key = target_key

    def runs(self) -> list[CachedRun]:
        """Return the cached runs, the newest first."""
        return self._rows("runs", CachedRun)

    def versions(self) -> list[CachedVersion]:
        return self._rows("versions", CachedVersion)

    def save_runs(self, runs: Sequence[Run]) -> None:
        self._save("runs", cached_runs(runs))

    def save_run(self, run: Run) -> None:
        """Save one run; a new one is the newest."""
        (own,) = cached_runs([run])
        cached = self.runs()
        is_known = any(row.id == run.id for row in cached)
        self._save("runs", [own if row.id == run.id else row for row in cached] if is_known else [own, *cached])

    def save_versions(self, models: Sequence[ModelVersion]) -> None:
        self._save("versions", cached_versions(models))

    def clear(self) -> None:
        """Remove the rows of this environment after its cleanup."""
        document = self._document()
        if document.pop(self._target_key, None) is not None:
            self._write(document)

    def _rows(self, kind: str, make: Callable[..., Row]) -> list[Row]:
        with suppress(TypeError, ValueError, AttributeError):
            return [make(*row) for row in self._document().get(self._target_key, {}).get(kind, [])]
        return []

    def _document(self) -> dict[str, Any]:
        return read_json(self._file) or {}

    def _save(self, kind: str, rows: Sequence[CachedRun] | Sequence[CachedVersion]) -> None:
        document = self._document()
        previous = document.pop(self._target_key, {})
        previous = previous if isinstance(previous, dict) else {}
        document[self._target_key] = {**previous, kind: [list(row) for row in rows[:MAX_ROWS]]}
        self._write(dict(list(document.items())[-MAX_TARGETS:]))

    def _write(self, document: dict[str, Any]) -> None:
        """Write the file. Ignore OSError, because no command may fail because of Tab completion."""
        if not (self._file.parent / "project.json").is_file():
            return
        with suppress(OSError):
            write_atomically(self._file, json.dumps(document))
