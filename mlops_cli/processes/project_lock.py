"""The project's lock. The kernel keeps it, and releases it when its holder dies for any reason."""

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
from mlops_cli.files.json_text import parse_json
from mlops_cli.files.process_identity import ELSEWHERE, Identity, own_identity, parse_identity, send

LOOKING_SECONDS = 5.0
ENDING_SECONDS = 15.0
SETTLING_SECONDS = 1.0


@dataclass(frozen=True)
class LockHolder:
    """The command that holds the lock. Without a process number, the holder has not written its note yet."""

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
        """Return the next command. While the lock is held, other commands can only watch and stop a run."""
        if self.is_unreachable:
            return f"It runs {ELSEWHERE}: end it there (mlops stop), or wait until it has ended."
        if self.run_id:
            return "Watch it: mlops logs --follow. Or end it: mlops stop"
        return f"Wait until it has ended, and try again. Or end it: kill {self.process.pid}"


class ProjectLockedError(MlopsError):
    def __init__(self, holder: LockHolder) -> None:
        super().__init__(f"{holder} holds this project.", holder.hint)
        self.holder = holder


class ProjectLock:
    """An exclusive lock on a project, with a note of its holder. Forked children share it; executed programs do not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None

    @contextmanager
    def held(self, command: str) -> Iterator[None]:
        """Hold the lock during the block. Raise ProjectLockedError if another command holds it."""
        self.acquire(command)
        try:
            yield
        finally:
            self.release()

    def acquire(self, command: str) -> None:
        """Take the lock. Raise ProjectLockedError if it is held, and FileNotFoundError if its folder is gone."""
        while self._file is None:
            file = _open(self.path, os.O_RDWR | os.O_CREAT)
            if not _try_lock(file):
                holder = _read(file)
                os.close(file)
                raise ProjectLockedError(holder)
            if _is_still_at(self.path, file):
                self._file = file
            else:  # cleanup has removed the file since
                os.close(file)
        self.write_holder(command)

    def write_holder(self, command: str, run_id: str = "") -> None:
        """Write the holder's note with its run. A forked child that continues alone writes its own note."""
        assert self._file is not None
        holder = LockHolder(command, time.time(), own_identity(), run_id)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(holder)).encode(), 0)

    def release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def holder(self) -> LockHolder | None:
        """Return the present holder, or None. Never wait for the lock and never take it."""
        if self._file is not None:
            return _read(self._file)
        try:
            file = _open(self.path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError, MlopsError):  # mlops never locks a link
            return None
        try:
            return None if _flock(file, fcntl.LOCK_SH) else _read(file)
        finally:
            os.close(file)


def acquire_by_force(lock: ProjectLock, command: str) -> None:
    """Take the lock, and end the mlops command that holds it."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            return lock.acquire(command)
        except ProjectLockedError:
            _terminate(lock, how)
    return lock.acquire(command)


def _terminate(lock: ProjectLock, how: signal.Signals) -> None:
    """Signal each holder once, because a second signal would disturb its clean-up. Wait until the lock is free."""
    signalled = Identity()
    start = time.monotonic()
    deadline, settled = start + ENDING_SECONDS, start + SETTLING_SECONDS
    while (holder := lock.holder()) and time.monotonic() < deadline:
        if holder.process not in (Identity(), signalled):
            if send(holder.process, how):
                signalled = holder.process
            elif time.monotonic() > settled:  # the holder has not just ended, and is no fork without a note
                raise MlopsError(
                    f"{holder} holds this project {ELSEWHERE}: it is not ended from here.",
                    "End it there (mlops stop), or wait until it has ended. Then repeat the command.",
                )
        time.sleep(0.05)


def _open(path: Path, flags: int) -> int:
    """Open the file. Raise MlopsError for a link: a link in a copied project could redirect the write anywhere."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise MlopsError(f"{path} is a link, which mlops never creates.", f"Remove it: rm {path}") from None


def _is_still_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _try_lock(file: int) -> bool:
    """Try to take the exclusive lock. Readers hold it shared for milliseconds: retry for LOOKING_SECONDS."""
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
    """Return the note in the lock. It is empty for milliseconds between taking the lock and writing the note."""
    try:
        note = parse_json(os.pread(file, 4096, 0))
        return LockHolder(**{**note, "process": parse_identity(note["process"])})
    except (ValueError, TypeError, KeyError):
        return LockHolder("...", time.time())
