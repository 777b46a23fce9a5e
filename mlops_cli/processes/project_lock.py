"""Who holds the project. The kernel keeps the lock and lets go of it when the holder dies, however it dies."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mlops_cli.errors import MlopsError
from mlops_cli.processes.identity import ELSEWHERE, Identity, noted_identity, own_identity, send

LOOKING_SECONDS = 5.0
ENDING_SECONDS = 15.0
SETTLING_SECONDS = 1.0


@dataclass(frozen=True)
class LockHolder:
    """Who holds the project; a process without a number is one that has not yet said who it is."""

    command: str
    since: float
    process: Identity = field(default_factory=Identity)
    run_id: str = ""

    def __str__(self) -> str:
        since = time.strftime("%H:%M:%S", time.localtime(self.since))
        return f"`mlops {self.command}` (process {self.process.pid}, since {since})"

    @property
    def is_unreachable(self) -> bool:
        return self.process.pid > 0 and not self.process.is_known

    @property
    def hint(self) -> str:
        """Only a run can be watched and stopped by other commands."""
        if self.is_unreachable:
            return f"It runs {ELSEWHERE}: end it there (mlops stop), or wait until it has ended."
        if self.run_id:
            return "Watch it: mlops logs --follow. Or end it: mlops stop"
        return f"Wait until it has ended, and try again. Or end it: kill {self.process.pid}"


class ProjectLockedError(MlopsError):
    """Another command holds the project."""

    def __init__(self, holder: LockHolder) -> None:
        super().__init__(f"{holder} holds this project.", holder.hint)
        self.holder = holder


class ProjectLock:
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
        """Hold the lock; raises HeldError when somebody else does, and FileNotFoundError when its folder is gone."""
        while self._file is None:
            file = _opened(self.path, os.O_RDWR | os.O_CREAT)
            if not _try_lock(file):
                holder = _read(file)
                os.close(file)
                raise ProjectLockedError(holder)
            if _is_still_at(self.path, file):
                self._file = file
            else:  # a cleanup has removed it meanwhile
                os.close(file)
        self.write_holder(command)

    def write_holder(self, command: str, run_id: str = "") -> None:
        """Write down who holds the lock, and for which run; a forked child that goes on alone says so itself."""
        assert self._file is not None
        holder = LockHolder(command, time.time(), own_identity(), run_id)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(holder)).encode(), 0)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> LockHolder | None:
        """Who holds the lock now, or None. Never waits, never takes it."""
        if self._file is not None:
            return _read(self._file)
        try:
            file = _opened(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, MlopsError):  # nobody of ours holds a link
            return None
        try:
            return None if _flock(file, fcntl.LOCK_SH) else _read(file)
        finally:
            os.close(file)


def acquire_by_force(lock: ProjectLock, command: str) -> None:
    """Hold the project, ending the command of ours that holds it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            return lock.acquire(command)
        except ProjectLockedError:
            _terminate(lock, how)
    return lock.acquire(command)


def _terminate(lock: ProjectLock, how: signal.Signals) -> None:
    """Signal each holder once (a second signal would disturb its own clean-up), and wait for the last to let go."""
    signalled = Identity()
    now = time.monotonic()
    deadline, settled = now + ENDING_SECONDS, now + SETTLING_SECONDS
    while (holder := lock.holder()) and time.monotonic() < deadline:
        if holder.process not in (Identity(), signalled):
            if send(holder.process, how):
                signalled = holder.process
            elif time.monotonic() > settled:  # not one that has just ended, or a fork that has not yet said who it is
                raise MlopsError(
                    f"{holder} holds this project {ELSEWHERE}: it is not ended from here.",
                    "End it there (mlops stop), or wait until it has ended. Then repeat the command.",
                )
        time.sleep(0.05)


def _opened(path: Path, flags: int) -> int:
    """Raise MlopsError for a link: whoever brought it with the project would have us write anywhere."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise MlopsError(f"{path} is a link, which mlops never makes.", f"Remove it: rm {path}") from None


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _try_lock(file: int) -> bool:
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


def _read(file: int) -> LockHolder:
    """The note in the lock; empty for the blink between taking the lock and writing it."""
    try:
        note = json.loads(os.pread(file, 4096, 0))
        return LockHolder(**{**note, "process": noted_identity(note["process"])})
    except (ValueError, TypeError, KeyError):
        return LockHolder("...", time.time())
