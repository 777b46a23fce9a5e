"""The endpoint's server as a process: find, signal, start and stop it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mlops_cli.errors import MlopsError
from mlops_cli.files.process_identity import ELSEWHERE, send
from mlops_cli.serving.control_files import EndpointDirectory, Supervision, is_locked, supervision

LOG_BYTES = 5_000_000
LEAVE_SECONDS = 5.0


class ServerProcesses(Protocol):
    """Starts, finds and ends the server's processes, and provides their environment."""

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start a process that continues after this one, with its output in ``log``."""

    def end_all(self) -> None:
        """End all processes of the endpoint's servers. Raise MlopsError if one does not end."""


class SupervisorProcess:
    def __init__(
        self, folder: EndpointDirectory, name: str, processes: ServerProcesses, environment: Mapping[str, str]
    ) -> None:
        """``environment``: is added to the process's own."""
        self._folder = folder
        self._name = name
        self._processes = processes
        self._environment = environment

    @property
    def is_alive(self) -> bool:
        return is_locked(self._folder.supervisor_lock)

    @property
    def pid(self) -> int | None:
        note = supervision(self._folder.supervisor_lock)
        return note.process.pid if note else None

    @property
    def was_moved(self) -> bool:
        """Return True if the project was moved after the server's start: the server then looks at the old path."""
        supervisor = supervision(self._folder.supervisor_lock)
        return supervisor is not None and supervisor.folder != str(self._folder.root.resolve())

    def signal_or_start(self, timeout: float) -> subprocess.Popen[bytes] | None:
        """Signal the running supervisor, or start one and return it."""
        deadline = time.monotonic() + min(timeout, 5)
        while is_locked(self._folder.supervisor_lock) and time.monotonic() < deadline:
            supervisor = supervision(self._folder.supervisor_lock)
            if supervisor is not None:
                self._signal(supervisor, signal.SIGHUP)
                return None
            time.sleep(0.01)
        self._kill_orphans()
        return self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        if self.log_size > LOG_BYTES:
            self._folder.log.replace(self._folder.log.with_suffix(".log.1"))
        command = [sys.executable, "-m", "mlops_cli.serving", str(self._folder.root.resolve())]
        return self._processes.start(command, self._folder.log, self._environment)

    def stop(self, timeout: float) -> None:
        """End the supervisor and its workers. Raise MlopsError if a process does not end."""
        supervisor = supervision(self._folder.supervisor_lock)
        if supervisor is not None:
            self._signal(supervisor, signal.SIGTERM)
            if not _wait_until_unlocked(self._folder.supervisor_lock, timeout):
                self._signal(supervisor, signal.SIGKILL)
        self._kill_orphans()

    def _kill_orphans(self) -> None:
        """Wait for workers to end with their supervisor. Then kill workers that hang, and their children."""
        _wait_until_unlocked(self._folder.workers_lock, 2, shared=True)
        self._processes.end_all()
        if not _wait_until_unlocked(self._folder.workers_lock, 5, shared=True):
            raise MlopsError(
                f"A server process of the endpoint {self._name} is running {ELSEWHERE}.",
                "End it there (mlops cleanup), then repeat the command.",
            )

    def _signal(self, supervisor: Supervision, sign: signal.Signals) -> None:
        """Send the signal. Raise MlopsError if it cannot be proven that the process is the supervisor."""
        if not send(supervisor.process, sign) and is_locked(self._folder.supervisor_lock):
            raise MlopsError(
                f"The server of the endpoint {self._name} (process {supervisor.process.pid}) runs {ELSEWHERE}: "
                "it is not signalled from here.",
                "End it there (mlops cleanup), then repeat the command.",
            )

    @property
    def log_size(self) -> int:
        return self._folder.log.stat().st_size if self._folder.log.exists() else 0

    def log_lines(self, start: int) -> list[str]:
        """Return the log's lines from a position in bytes on."""
        if not self._folder.log.exists():
            return []
        with self._folder.log.open("rb") as log:
            log.seek(min(start, self.log_size))
            return log.read().decode("utf-8", "replace").splitlines()


def await_end(supervisor: subprocess.Popen[bytes]) -> None:
    """Wait until a supervisor has ended after its failed first deployment: until then the status is "starting"."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        supervisor.wait(LEAVE_SECONDS)


def _wait_until_unlocked(lock: Path, seconds: float, shared: bool = False) -> bool:
    """Wait until all holders of the lock are gone. Return False if they do not end in time."""
    deadline = time.monotonic() + seconds
    while is_locked(lock, shared):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
