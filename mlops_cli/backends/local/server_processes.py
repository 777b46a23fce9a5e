"""The processes of the local model server: start them as a job of mlops, and find them if their folder is gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import mlops_cli
from mlops_cli.files.atomic import open_unless_link
from mlops_cli.files.process_identity import has_own_proc
from mlops_cli.processes.child_process import JobProcesses
from mlops_cli.processes.process_tokens import find_by_token, kill_by_token
from mlops_cli.processes.subreaper import LINUX, TOKEN
from mlops_cli.project.environment import server_environment

SERVER = b"mlops_cli.serving"


class LocalServerProcesses:
    """The ServerProcesses of the endpoint in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jobs = JobProcesses(folder / "children")

    def start(self, command: Sequence[str], log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        job = self._jobs.begin()
        try:
            with open(log, "ab", opener=open_unless_link) as output:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=self._folder,
                    env=job.environment({**process_environment(), **environment}),
                    start_new_session=True,
                    pass_fds=(job.descriptor,),  # the process that inherits the descriptor owns the job
                )
        finally:
            job.release_ownership()

    def orphans(self) -> list[int]:
        """Return the processes that a killed server has left."""
        return self._jobs.orphans()

    def end_all(self) -> None:
        self._jobs.kill_orphans(owned=True)  # a supervisor releases its lock shortly before its end
        self.end_without_folder()

    def without_folder(self) -> list[int]:
        """Return the processes that serve from an earlier, removed folder of this endpoint.

        No file names them, but the kernel still knows their folder. This works on Linux only. On other systems a
        process's folder cannot be read, and the server ends by itself.
        """
        return sorted({pid for token in self._lost_tokens() for pid in find_by_token(token)})

    def end_without_folder(self) -> None:
        for token in self._lost_tokens():
            kill_by_token(token)

    def _lost_tokens(self) -> set[str]:
        folder = self._folder.resolve()
        return {token for pid in _servers() if _had_folder(pid, folder) for token in _token(pid)}


def process_environment() -> dict[str, str]:
    """Return the environment without secrets. If mlops runs from its source, the server can import it."""
    environment = server_environment()
    root = Path(mlops_cli.__file__).parents[1]
    if root.name not in ("site-packages", "dist-packages"):
        python_path = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{python_path}" if python_path else str(root)
    return environment


def _servers() -> Iterator[int]:
    for process in Path("/proc").glob("[0-9]*") if LINUX and has_own_proc() else ():
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if b"-m" in command and any(part.startswith(SERVER) for part in command):
                yield int(process.name)


def _had_folder(pid: int, folder: Path) -> bool:
    """Return True if the process's current folder was this folder, now removed: the kernel marks it "(deleted)"."""
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
