"""Reading the log of a stage, also while it is being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL_SECONDS = 0.2


def tail(path: Path, ended: Callable[[], bool]) -> Iterator[str]:
    """The lines of a log until it is exhausted after ``ended`` became true."""
    while not path.exists():
        if ended():
            return
        time.sleep(POLL_SECONDS)
    with path.open(encoding="utf-8", errors="replace") as file:
        while True:
            last = ended()
            yield from _whole_lines(file.readline)
            if last:
                return
            time.sleep(POLL_SECONDS)


def _whole_lines(readline: Callable[[], str]) -> Iterator[str]:
    while line := readline():
        yield line.rstrip("\n")
