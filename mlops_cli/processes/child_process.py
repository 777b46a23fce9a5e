"""Runs a script as a child that cannot outlive mlops, and finds and ends what a killed mlops left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import remove_tree

if TYPE_CHECKING:
    import subprocess

TOKEN = "MLOPS_JOB"  # noqa: S105 (the name of a variable)
PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 5.0
DRAIN_SECONDS = 1.0
LONGEST_LINE = 1 << 20
TOKENS = re.compile("[0-9a-f]+")
LINUX = sys.platform == "linux"
# What multiprocessing makes of the folder for temporary files, and what the systems take.
SOCKET, LONGEST_SOCKET = "/pymp-12345678/listener-12345678", 103
SHORT = "/tmp"  # noqa: S108 (a link in it, to a folder of ours, under a name that nobody can know before)


class JobProcesses:
    """The processes of stages and of the model server, and where they keep what is temporary.

    Each of them, and whatever they start, carries a token in its environment. The token is the name of a folder under
    ``folder``, which stays for as long as one of them may live, and which is their TMPDIR. So what was left behind is
    found for certain, and no other process is mistaken for it, however process numbers are reused.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: IO[bytes],
        on_line: Callable[[str], None],
    ) -> int:
        """Run to the end, copying the output to ``log``; gives the exit code (negative: the signal that ended it)."""
        with self.job() as job:
            return job.run(argv, cwd, env, log, on_line)

    @contextmanager
    def job(self) -> Iterator[Job]:
        """A token for the block's duration; in the end nothing bears it, and what was temporary is gone."""
        job = self.begin()
        try:
            yield job
        finally:
            try:
                job.end()
            finally:
                job.let_go()
                self._remove_if_empty()

    def begin(self) -> Job:
        """Make a token and own it; raises FileNotFoundError when the project's .mlops/ is gone."""
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        job = Job(self.folder / os.urandom(6).hex())
        while True:
            self.folder.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # another job was the last in it just now
                job.own()
                return job

    def left_behind(self) -> list[int]:
        """Return the processes whose owner has ended."""
        return [pid for job in self._jobs() if not job.is_owned for pid in find_by_token(job.token)]

    def kill_orphans(self, owned: bool = False) -> None:
        """End what was left behind, and wait until it is gone; with ``owned`` also what is at work, as a cleanup does.

        Raises MlopsError when a process does not end.
        """
        if self.folder.is_symlink() or self.folder.is_file():  # not ours, but in its place
            self.folder.unlink()
        for job in self._jobs():
            if (owned or not job.is_owned) and (orphans := job.end()):
                pids = " ".join(map(str, orphans))
                raise MlopsError(f"Processes of an earlier run do not end: {pids}.", f"End them: kill -9 {pids}")
        self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # something is still at work
            self.folder.rmdir()

    def _jobs(self) -> list[Job]:
        if self.folder.is_symlink() or not self.folder.is_dir():
            return []
        return [Job(path) for path in sorted(self.folder.iterdir()) if TOKENS.fullmatch(path.name)]


class Job:
    """What one command has started, by its token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = folder.name
        self.descriptor = -1

    @property
    def is_owned(self) -> bool:
        """Whether a living process owns the token; the kernel lets go of it when that one ends, however it ends."""
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            return isinstance(error, BlockingIOError)
        finally:
            os.close(descriptor)
        return False

    def own(self) -> None:
        self.folder.mkdir()
        self.descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with contextlib.suppress(OSError):  # a file system may lock files only
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)

    def let_go(self) -> None:
        """Own it no more; who has inherited the descriptor still does."""
        os.close(self.descriptor)
        self.descriptor = -1

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: IO[bytes],
        on_line: Callable[[str], None],
    ) -> int:
        with _start(argv, cwd, self.environment(env)) as child:
            for line in _lines(child):
                log.write(line + b"\n")
                log.flush()
                on_line(line.decode("utf-8", "replace"))
            return child.wait()

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return ``env`` with the token, and with a folder for all that is temporary."""
        folder = str(self.folder)
        if len(os.fsencode(folder)) + len(SOCKET) > LONGEST_SOCKET:
            folder = self._shortened()
        return {"KERAS_HOME": f"{folder}/keras", **env, TOKEN: self.token, "TMPDIR": folder}

    def end(self) -> list[int]:
        """Kill all that bear the token, then remove its folder; gives those that would not end, who keep it."""
        deadline = time.monotonic() + GRACE_SECONDS
        while left := find_by_token(self.token):
            if time.monotonic() > deadline:
                return left
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
        link = Path(SHORT, f"mlops-{self.token}")
        if link.is_symlink() and link.readlink().name == self.token:
            link.unlink()
        remove_tree(self.folder)
        return []

    def _shortened(self) -> str:
        """A short way to the folder: Python makes sockets there, whose paths have some hundred characters at most."""
        link = Path(SHORT, f"mlops-{self.token}")
        try:
            link.symlink_to(self.folder.resolve())
        except OSError:  # then there is no room for sockets
            return str(self.folder)
        return str(link)


def find_by_token(token: str) -> list[int]:
    """The processes that carry the token in their environment."""
    mark = f"{TOKEN}={token}".encode()
    return [pid for pid, environment in environments() if mark in environment.split(b"\0" if LINUX else None)]


def environments() -> Iterator[tuple[int, bytes]]:
    """The environment of every process that we may look at."""
    if not LINUX:
        import subprocess

        listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
        yield from ((int(line.split()[0]), line) for line in listing.splitlines() if line.strip())
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(folder.name), (folder / "environ").read_bytes()


@contextmanager
def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    import subprocess

    child = subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_end_with_parent(),
    )
    try:
        yield child
    finally:
        _kill(child)


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


def _kill(child: subprocess.Popen[bytes]) -> None:
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


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux the kernel ends the child when its parent dies; elsewhere the next command's sweep does."""
    if not LINUX:
        return None
    import ctypes

    libc, parent = ctypes.CDLL(None), os.getpid()

    def arrange() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arrange
