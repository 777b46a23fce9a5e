"""Read the log of a stage, also while it is written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlops_cli.core.runs import Run, StageRun

POLL_SECONDS = 0.2


def log_file(state: Path, run: Run, stage: StageRun) -> Path:
    return state / (stage.log or f"runs/{run.id}/{stage.name}.log")


class LogFollower:
    """Returns the new lines of every stage's log since the last call."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._read: dict[Path, int] = {}

    def read(self, run: Run, stage: StageRun) -> list[str]:
        path = log_file(self._state, run, stage)
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(self._read.get(path, 0))
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read[path] = self._read.get(path, 0) + len(whole) + len(newline)
        return whole.decode("utf-8", "replace").split("\n") if whole else []


def tail(path: Path, ended: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a log, until ``ended`` returns true and no line is left."""
    while not path.exists():
        if ended():
            return
        time.sleep(POLL_SECONDS)
    beginning = ""  # of a line whose end is not written yet
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            last = ended()
            while part := file.readline():
                beginning += part
                if beginning.endswith("\n"):
                    yield beginning.rstrip("\n")
                    beginning = ""
            if last:
                yield from [beginning] if beginning else []
                return
            time.sleep(POLL_SECONDS)
