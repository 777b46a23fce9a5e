"""A process between mlops and a script that ends everything that the script has started.

Linux makes a subreaper the parent of every descendant whose own parent has ended, even in a new session and with an
empty environment. So the subreaper knows all of them. It ends after them, however mlops or the script ends.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from mlops_cli.files.process_identity import has_own_proc
from mlops_cli.processes.short_links import remove_link

if TYPE_CHECKING:
    import ctypes

TOKEN = "MLOPS_JOB"  # noqa: S105 (the name of a variable)
LINUX = sys.platform == "linux"
PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER = 1, 15, 36
SIGNALS = (signal.SIGCHLD, signal.SIGTERM)
NAME_CHARACTERS = 15
KILL_SECONDS = 5.0
PAUSE_SECONDS = 0.02
HOUR = 3600.0


def process_name(token: str) -> str:
    """Return the process name of a job's subreaper. Its environment is that of mlops, without the token."""
    return f"mlops-{token}"[:NAME_CHARACTERS]


def _load_libc() -> ctypes.CDLL:
    import ctypes

    return ctypes.CDLL(None)


@dataclass(frozen=True)
class Subreaper:
    """``parent``: the process with which it ends, 0 for none. ``closes``: it closes its descriptors.

    It passes SIGTERM on, and the script has ``grace_seconds`` to end. Remaining processes, such as a program in a
    shell's pipe, have ``drain_seconds`` to write their last output.
    """

    token: str
    grace_seconds: float
    drain_seconds: float = 0.0
    parent: int = 0
    closes: bool = True
    libc: ctypes.CDLL = field(default_factory=_load_libc)  # loaded before the fork

    def fork(self) -> None:
        """Fork. Return in the child, which becomes the script. The parent stays, and exits as the script does."""
        libc, own = self.libc, os.getpid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if self.parent:
            _end_with(libc, self.parent, signal.SIGTERM)
        if script := os.fork():
            libc.prctl(PR_SET_NAME, process_name(self.token).encode(), 0, 0, 0)
            self._stay(script)
        os.setsid()
        if self.parent:
            _end_with(libc, own, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _stay(self, script: int) -> NoReturn:
        try:
            output = f"pipe:[{os.fstat(1).st_ino}]"
            os.chdir("/")  # it must not keep the project's folder in use
            if self.closes:
                _close_descriptors()
            for sign in (signal.SIGINT, signal.SIGHUP):
                signal.signal(sign, signal.SIG_IGN)
            status, was_asked = self._wait(script)
            if self._end_descendants(output, 0.0 if was_asked else self.drain_seconds):
                if not self.parent or not self._has_parent():  # no other process closes it
                    remove_link(self.token)
                _exit_like(status)
        finally:
            os.kill(os.getpid(), signal.SIGKILL)  # an exit code would mean that no process is left
            os._exit(1)  # not reached

    def _wait(self, script: int) -> tuple[int, bool]:
        """Pass the first SIGTERM on to the script, a second one as SIGKILL; return its status, and True if one came."""
        deadline = float("inf")
        while (status := _reap(script)) is None:
            if _next_signal(min(deadline - time.monotonic(), HOUR)) is signal.SIGTERM:
                is_first = deadline == float("inf") and self._has_parent()
                deadline = time.monotonic() + (self.grace_seconds if is_first else 0.0)
                os.kill(script, signal.SIGTERM)
            if time.monotonic() >= deadline:
                os.kill(script, signal.SIGKILL)
        return status, deadline < float("inf")

    def _end_descendants(self, output: str, drain_seconds: float) -> bool:
        """Kill the remaining descendants until there are none. Return False if a process does not end."""
        patience = time.monotonic() + drain_seconds
        while _has_children():
            if time.monotonic() >= patience + KILL_SECONDS:
                return False
            descendants = list(children(os.getpid()))
            if time.monotonic() >= patience or not any(_has_open(pid, output) for pid in descendants):
                for pid in descendants:
                    with contextlib.suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, signal.SIGKILL)
            if _next_signal(PAUSE_SECONDS) is signal.SIGTERM:
                patience = time.monotonic()
        return True

    def _has_parent(self) -> bool:
        return not self.parent or os.getppid() == self.parent


def children(parent: int) -> Iterator[int]:
    """Yield the children of a process."""
    for folder in Path("/proc").glob("[0-9]*") if has_own_proc() else ():
        with contextlib.suppress(OSError, IndexError, ValueError):
            # The command's name, in brackets, may contain anything. The parent is the second field after it.
            if int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1]) == parent:
                yield int(folder.name)


def _has_open(pid: int, file: str) -> bool:
    with contextlib.suppress(OSError):
        return any(os.readlink(link) == file for link in Path(f"/proc/{pid}/fd").iterdir())  # noqa: PTH115 (no path)
    return False


def is_subreaper(pid: int, token: str) -> bool:
    """Return True for the subreaper of the job with this token."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_bytes() == f"{process_name(token)}\n".encode()
    return False


def _end_with(libc: ctypes.CDLL, parent: int, sign: signal.Signals) -> None:
    libc.prctl(PR_SET_PDEATHSIG, sign, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _next_signal(seconds: float) -> signal.Signals | None:
    information = signal.sigtimedwait(SIGNALS, max(0.0, seconds))
    return signal.Signals(information.si_signo) if information else None


def _reap(script: int) -> int | None:
    """Collect the children that have ended. Return the status of the script if it is among them."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, code = os.waitpid(-1, os.WNOHANG)
            if pid == script:
                status = code
            if not pid:
                break
    return status


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
    except ChildProcessError:
        return False
    return True


def _close_descriptors() -> None:
    """Release the locks and pipes of mlops, which must end with mlops."""
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]  # noqa: PTH208 (no module in a fork)
    except OSError:
        descriptors = [*range(4096)]
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def _exit_like(status: int) -> NoReturn:
    """End with the same code or signal, without a second core dump."""
    if os.WIFSIGNALED(status):
        sign = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if sign != signal.SIGKILL:
            signal.signal(sign, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {sign})
        os.kill(os.getpid(), sign)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)
