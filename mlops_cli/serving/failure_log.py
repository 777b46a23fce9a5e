"""The exceptions of handlers in the server's log."""

from __future__ import annotations

import time
from pathlib import Path

from mlops_cli.plain_text import clipped, log_line

# The beginning of a message about an exception, in a line that begins with the time.
FAILED = "the handlers failed: "
TIME = "%Y-%m-%d %H:%M:%S"
WAIT_SECONDS, LOOK_SECONDS = 2.0, 0.05
TAIL_BYTES = 200_000


def read_failure(log: Path, since: float) -> str:
    """Return the last exception that was logged since a time; empty without one.

    The supervisor writes what its workers print, so a line may come later than the answer.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while not (reason := _last_failure(log, since)) and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
    return clipped(log_line(reason))


def _last_failure(log: Path, since: float) -> str:
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
    first = time.strftime(TIME, time.localtime(since))  # whole seconds
    reasons = (line.partition(FAILED)[2] for line in reversed(lines) if FAILED in line and line[: len(first)] >= first)
    return next(reasons, "")
