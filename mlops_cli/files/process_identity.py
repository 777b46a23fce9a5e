"""Identify a process by more than its number: numbers are reused, and each container has its own numbers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ELSEWHERE = "in another container or on another machine"


@dataclass(frozen=True)
class Identity:
    """A process. ``namespace``: the PID namespace of its number. ``started``: its start time, with the boot's id."""

    pid: int = 0
    namespace: str = ""
    started: str = ""

    @property
    def is_known(self) -> bool:
        """Return True if this process, and no other, has this number here and now."""
        is_same_namespace = self.pid > 0 and self.namespace == _namespace()
        return is_same_namespace and self.started != "" and self.started == _started(self.pid)


def own_identity() -> Identity:
    return identity_of(os.getpid())


def identity_of(pid: int) -> Identity:
    """Return the identity of a process of this namespace."""
    return Identity(pid, _namespace(), _started(pid))


def send(process: Identity, sign: signal.Signals) -> bool:
    """Send the signal to this process and to no other. Return False if its identity cannot be proven."""
    if not process.is_known:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, sign)
    return True


def parse_identity(note: Mapping[str, Any]) -> Identity:
    """Return the identity in a note. Raise KeyError, TypeError or ValueError for anything else."""
    return Identity(int(note["pid"]), str(note["namespace"]), str(note["started"]))


def has_own_proc() -> bool:
    """Return False if /proc lists another PID namespace: its numbers mean other processes here."""
    try:
        return sys.platform != "linux" or os.readlink("/proc/self") == str(os.getpid())  # noqa: PTH115 (no path)
    except OSError:
        return False


def _namespace() -> str:
    """Return the PID namespace; empty on systems that have only one."""
    return str(Path("/proc/self/ns/pid").stat().st_ino) if sys.platform == "linux" else ""


def _started(pid: int) -> str:
    """Return the start time of the process; empty if the process does not exist."""
    if sys.platform != "linux":
        listing = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listing.stdout.strip()
    if not has_own_proc():
        return ""
    try:
        # The command's name, in brackets, may contain anything. The start is the 22nd field, in ticks since the boot.
        ticks = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()}/{ticks}"
