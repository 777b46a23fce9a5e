"""Find and end the processes of a job by the token in their environment."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from mlops_cli.files.process_identity import has_own_proc
from mlops_cli.processes.subreaper import LINUX, TOKEN, is_subreaper

GRACE_SECONDS = 5.0


def find_by_token(token: str) -> list[int]:
    """Return the processes with the token in their environment, and their subreaper."""
    mark = f"{TOKEN}={token}".encode()
    return [
        pid
        for pid, environment in environments()
        if (mark in environment and mark in environment.split(b"\0" if LINUX else None)) or is_subreaper(pid, token)
    ]


def kill_by_token(token: str) -> list[int]:
    """Kill these processes. Return those that do not end.

    Kill the subreaper only if it does not end by itself, because it ends the processes that have no token.
    """
    started = time.monotonic()
    while processes := find_by_token(token):
        is_late = time.monotonic() > started + GRACE_SECONDS
        if time.monotonic() > started + 2 * GRACE_SECONDS:
            return processes
        for pid in processes:
            if is_late or not is_subreaper(pid, token):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    return []


def environments() -> Iterator[tuple[int, bytes]]:
    """Yield the process number and the environment of every process that can be read."""
    if not LINUX:
        import subprocess

        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        yield from ((int(line.split()[0]), line) for line in listing.splitlines() if line.strip())
        return
    for name in os.listdir("/proc") if has_own_proc() else ():  # noqa: PTH208 (each stage ends with this)
        with contextlib.suppress(OSError):
            if name.isdecimal():
                yield int(name), Path("/proc", name, "environ").read_bytes()
