"""Run AWS's containers as processes, each in its own process group, which cannot outlive the simulator."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

TOKEN = "AWS_SIMULATOR_PROCESS"
DRAIN_SECONDS = 1.0
SHORT = "/tmp"


class Processes:
    """Everything that the simulator has started.

    Each process has a token in its environment, which identifies it and its descendants. If the simulator dies for any
    reason, the reaper ends them.
    """

    def __init__(self, folder: Path, removes_folder: bool = False) -> None:
        """Let the reaper remove the links into ``folder``, and the folder itself, when everything has ended."""
        self.token = secrets.token_hex(8)
        self._running: set[Process] = set()
        self._lock = threading.Lock()
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", __name__, self.token, str(folder), *(["--remove"] if removes_folder else [])],
            cwd=Path(__file__).resolve().parents[1],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )

    def start(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> Process:
        """Start a process. ``on_line`` gets every line of its output, in another thread."""
        process = Process(argv, cwd, {**env, TOKEN: self.token}, on_line)
        with self._lock:
            self._running = {process for process in self._running if process.code is None} | {process}
        return process

    def end_all(self) -> None:
        with self._lock:
            running, self._running = self._running, set()
        for process in running:
            process.kill()
        for pid in bearers(self.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.end_all()
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait()


class Process:
    def __init__(self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], on_line: Callable[[str], None]) -> None:
        self._child = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, args=(on_line,), daemon=True)
        self._reader.start()

    @property
    def code(self) -> int | None:
        """The exit code (negative: the signal that ended it), or None while it runs."""
        return self._child.poll()

    def wait(self, seconds: float | None = None) -> int:
        """Wait until it has ended and its output is read. Raise subprocess.TimeoutExpired."""
        code = self._child.wait(seconds)
        self._reader.join(DRAIN_SECONDS)
        self.kill()
        return code

    def terminate(self) -> None:
        """Send SIGTERM to the whole process group."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    def _read(self, on_line: Callable[[str], None]) -> None:
        assert self._child.stdout is not None
        with self._child.stdout as output:
            for line in output:
                on_line(line.decode("utf-8", "replace").rstrip("\n"))


def token_variable() -> dict[str, str]:
    """Return the token's variable, for a process that does not inherit the simulator's environment."""
    return {TOKEN: os.environ[TOKEN]} if TOKEN in os.environ else {}


def bearers(token: str) -> list[int]:
    """Return the processes with the token in their environment."""
    mark = f"{TOKEN}={token}".encode()
    return [pid for pid, environment in _environments() if mark in environment]


def _environments() -> Iterator[tuple[int, bytes]]:
    if sys.platform != "linux":
        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        yield from ((int(line.split()[0]), line) for line in listing.splitlines() if line.strip())
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "environ").read_bytes()


def reap(token: str, folder: str, *options: str) -> None:
    """Wait until the simulator has ended, then end its remaining processes. Remove the links into its folder.

    With --remove, remove the folder, too.
    """
    sys.stdin.buffer.read()
    while processes := bearers(token):
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    remove_links(folder)
    if "--remove" in options:
        shutil.rmtree(folder, ignore_errors=True)


def remove_links(folder: str) -> None:
    """Remove the outside links into the folder. Model servers create them, because paths of sockets must be short.

    Such a link has the name of the folder to which it leads. Any other link belongs to a user.
    """
    with contextlib.suppress(OSError), os.scandir(SHORT) as entries:
        for link in [Path(entry.path) for entry in entries if entry.is_symlink()]:
            with contextlib.suppress(OSError):  # another user's process, or one that has ended
                target = link.readlink()
                is_named_after = link.name.rpartition("-")[2] == target.name
                if is_named_after and target.is_relative_to(folder) and link.lstat().st_uid == os.geteuid():
                    link.unlink()


if __name__ == "__main__":
    reap(*sys.argv[1:])
