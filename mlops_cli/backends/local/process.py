"""Runs a script as a child that cannot outlive mlops, and finds and ends what a killed mlops left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    import subprocess

TOKEN = "MLOPS_JOB"  # noqa: S105 (the name of a variable)
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
DRAIN_SECONDS = 1.0
LONGEST_LINE = 1 << 20


class Children:
    """The processes of the running stage.

    Each of them, and whatever they start, carries a token in its environment, which stands in ``note`` for as long
    as they may live. So what a killed mlops left behind is found for certain, and no other process is mistaken
    for it, however process numbers are reused.
    """

    def __init__(self, note: Path) -> None:
        self.note = note

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: IO[bytes],
        on_line: Callable[[str], None],
    ) -> int:
        """Run to the end, copying the output to ``log``; gives the exit code (negative: the signal that ended it)."""
        token = os.urandom(8).hex()
        self.note.write_text(token)
        with _started(argv, cwd, {**env, TOKEN: token}) as child:
            for line in _lines(child):
                log.write(line + b"\n")
                log.flush()
                on_line(line.decode("utf-8", "replace"))
            code = child.wait()
        self.note.write_text("")
        return code

    def sweep(self) -> None:
        """End what a killed mlops left behind, and wait until it is gone; call it holding the project."""
        token = self.note.read_text() if self.note.exists() else ""
        deadline = time.monotonic() + GRACE_SECONDS
        while token and (left := bearers(token)):
            if time.monotonic() > deadline:
                pids = " ".join(map(str, left))
                raise MlopsError(f"Processes of an earlier run do not end: {pids}.", f"End them: kill -9 {pids}")
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)


def bearers(token: str) -> list[int]:
    """The processes that carry the token in their environment."""
    mark = f"{TOKEN}={token}".encode()
    return [pid for pid, environment in _environments() if mark in environment]


def _environments() -> Iterator[tuple[int, bytes]]:
    """The environment of every process that we may look at."""
    if sys.platform != "linux":
        import subprocess

        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        yield from ((int(line.split()[0]), line) for line in listing.splitlines() if line.strip())
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "environ").read_bytes()


@contextmanager
def _started(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    import subprocess

    child = subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent(),
    )
    try:
        yield child
    finally:
        _end(child)


def _lines(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    pending = b""
    for chunk in _chunks(child):
        *lines, pending = (pending + chunk).split(b"\n")
        yield from lines
        if len(pending) > LONGEST_LINE:
            yield pending
            pending = b""
    if pending:
        yield pending


def _chunks(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """The child's output until it is closed; a process that the child left behind keeps it open for a moment only."""
    assert child.stdout is not None
    output, deadline = child.stdout.fileno(), float("inf")
    while time.monotonic() < deadline:
        ready, _, _ = select.select([output], [], [], 0.1)
        chunk = os.read(output, 1 << 16) if ready else b""
        if ready and not chunk:
            return
        if chunk:
            yield chunk
        if child.poll() is not None:
            deadline = min(deadline, time.monotonic() + (DRAIN_SECONDS if chunk else 0.0))


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the child's whole group: politely if the child still runs, for certain in any case."""
    import subprocess

    try:
        if child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(GRACE_SECONDS)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def _die_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the child when its parent dies; elsewhere the next command's sweep does."""
    if sys.platform != "linux":
        return None
    import ctypes

    libc, parent = ctypes.CDLL(None), os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
