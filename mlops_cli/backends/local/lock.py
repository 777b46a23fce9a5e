"""Who holds the project. The kernel keeps the lock and lets go of it when the holder dies, however it dies."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_cli.errors import MlopsError

LOOKING_SECONDS = 5.0
ENDING_SECONDS = 15.0


@dataclass(frozen=True)
class Holder:
    pid: int
    command: str
    since: float
    run_id: str = ""

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`mlops {self.command}` (process {self.pid}, since {since})"

    @property
    def way_out(self) -> str:
        """Only a run can be watched and stopped by other commands."""
        if self.run_id:
            return "Watch it: mlops logs --follow. Or end it: mlops stop"
        return f"Wait until it has ended, and try again. Or end it: kill -INT {self.pid}"


class HeldError(MlopsError):
    """Another command holds the project."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(f"{holder} holds this project.", holder.way_out)
        self.holder = holder


class Lock:
    """An exclusive lock on a project, with a note of who has it. Forked children share it, executed ones do not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @contextmanager
    def held(self, command: str) -> Iterator[None]:
        """Hold the lock; raises HeldError when somebody else does."""
        self.acquire(command)
        try:
            yield
        finally:
            self.release()

    def acquire(self, command: str) -> None:
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        if not _taken(file):
            holder = _read(file)
            os.close(file)
            raise HeldError(holder)
        self._file = file
        self.note(command)

    def note(self, command: str, run_id: str = "") -> None:
        """Write down who holds the lock, and for which run; a forked child that goes on alone says so itself."""
        assert self._file is not None
        holder = Holder(os.getpid(), command, time.time(), run_id)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(holder)).encode(), 0)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> Holder | None:
        """Who holds the lock now, or None. Never waits, never takes it."""
        if self._file is not None:
            return _read(self._file)
        try:
            file = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        try:
            return None if _flock(file, fcntl.LOCK_SH) else _read(file)
        finally:
            os.close(file)


def take_over(lock: Lock, command: str) -> None:
    """Hold the project, ending the command of ours that holds it."""
    for how in (signal.SIGINT, signal.SIGKILL):
        try:
            return lock.acquire(command)
        except HeldError as held:
            _end(held.holder, how, lock)
    return lock.acquire(command)


def _end(holder: Holder, how: signal.Signals, lock: Lock) -> None:
    """Signal the holder once (a second interrupt would disturb its own clean-up), and wait."""
    if holder.pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(holder.pid, how)
    deadline = time.monotonic() + ENDING_SECONDS
    while lock.holder() and time.monotonic() < deadline:
        time.sleep(0.05)


def _taken(file: int) -> bool:
    """Take the lock, unless somebody holds it: one who only looks shares it for a blink, and is waited for."""
    deadline = time.monotonic() + LOOKING_SECONDS
    while time.monotonic() < deadline:
        if _flock(file, fcntl.LOCK_EX):
            return True
        if not _flock(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)
        time.sleep(0.002)
    return False


def _flock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(file: int) -> Holder:
    """The note in the lock; empty for the blink between taking the lock and writing it."""
    try:
        return Holder(**json.loads(os.pread(file, 4096, 0)))
    except (ValueError, TypeError):
        return Holder(0, "...", time.time())
