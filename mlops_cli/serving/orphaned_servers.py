"""Model servers whose folder was removed: no file leads to them, but the kernel still knows their folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlops_cli.processes.child_process import LINUX, TOKEN, find_by_token

SERVER = b"mlops_cli.serving"


def find(folder: Path) -> list[int]:
    """Return the processes that serve from the removed ``folder``, with their descendants.

    Linux only: elsewhere a process's folder cannot be read, and the server ends by itself.
    """
    tokens = {token for pid in _servers() if _worked_in(pid, folder.resolve()) for token in _token(pid)}
    return sorted({pid for token in tokens for pid in find_by_token(token)})


def _servers() -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*") if LINUX else ():
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"-m" in command and any(part.startswith(SERVER) for part in command):
                yield int(process.name)


def _worked_in(pid: int, folder: Path) -> bool:
    """Return True if the process's current folder is this one, removed: the kernel marks it "(deleted)"."""
    with suppress(OSError):
        same_files = Path(f"/proc/{pid}/ns/mnt").samefile("/proc/self/ns/mnt")
        return same_files and os.readlink(f"/proc/{pid}/cwd") == f"{folder} (deleted)"  # noqa: PTH115 (not a path any more)
    return False


def _token(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for variable in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            name, _, value = variable.partition(b"=")
            if name == TOKEN.encode() and value:
                yield value.decode("ascii", "replace")
