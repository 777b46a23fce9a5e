"""Run a script as a child that cannot outlive mlops. End the processes of a killed mlops."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from mlops_cli.errors import MlopsError
from mlops_cli.files.atomic import remove_tree
from mlops_cli.files.process_identity import has_own_proc
from mlops_cli.processes.interruption import uninterrupted
from mlops_cli.processes.output_lines import OutputLine, OutputLines
from mlops_cli.processes.process_tokens import GRACE_SECONDS, find_by_token, kill_by_token
from mlops_cli.processes.short_links import remove_link, remove_lost_links, short_path
from mlops_cli.processes.subreaper import KILL_SECONDS, LINUX, TOKEN, Subreaper

if TYPE_CHECKING:
    import subprocess

DRAIN_SECONDS = 1.0
TOKENS = re.compile("[0-9a-f]+")


class TimeLimitError(Exception):
    """A process was ended because it ran longer than its limit."""


class JobProcesses:
    """The processes of stages and of the model server, and the folders for their temporary files.

    Each process and all its descendants have a token in their environment. The token is the name of a folder below
    ``folder``: their TMPDIR, which stays while one of them may live. So orphans are identified with certainty, and no
    other process is mistaken for one, even if process numbers are reused.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: IO[bytes],
        on_line: Callable[[OutputLine], None],
        seconds: float = float("inf"),
    ) -> int:
        """Run to the end and copy the output to ``log``. Return the exit code (negative: the signal that ended it).

        Raise TimeLimitError after ``seconds``.
        """
        with self.job() as job:
            return job.run(argv, cwd, env, log, on_line, seconds)

    @contextmanager
    def job(self) -> Iterator[Job]:
        """Provide a job for the block. At the end, kill its processes and remove its temporary files.

        First end the processes of killed commands, because not every command that starts a process holds the project's
        lock.
        """
        self.kill_orphans()
        job = self.begin()
        try:
            yield job
        finally:
            try:
                job.end()
            finally:
                job.release_ownership()
                self._remove_if_empty()

    def begin(self) -> Job:
        """Create a token and own it. Raise FileNotFoundError if the project's .mlops/ does not exist any more."""
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        job = Job(self.folder / os.urandom(6).hex())
        while True:
            self.folder.mkdir(exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # the last job has just removed the folder
                job.own()
                return job

    def orphans(self) -> list[int]:
        """Return the processes without a living owner."""
        return [pid for job in self._jobs() if not job.is_owned for pid in find_by_token(job.token)]

    def kill_orphans(self, owned: bool = False) -> None:
        """End orphaned processes and wait until they are gone. With ``owned``, also end running jobs, as cleanup does.

        Raise MlopsError if a process does not end.
        """
        if self.folder.is_symlink() or self.folder.is_file():  # the folder is not ours, but has the same path
            self.folder.unlink()
        for job in self._jobs() if has_own_proc() else ():  # otherwise they could not be found any more
            with job.held_if_orphaned() as is_orphaned:  # its folder is removed before a new owner can lock it
                orphans = job.end() if owned or is_orphaned else []
            if orphans:
                pids = " ".join(map(str, orphans))
                raise MlopsError(f"Processes of an earlier run do not end: {pids}.", f"End them: kill -9 {pids}")
        remove_lost_links(self.folder)
        self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        with contextlib.suppress(OSError):  # another job still uses the folder
            self.folder.rmdir()

    def _jobs(self) -> list[Job]:
        if self.folder.is_symlink() or not self.folder.is_dir():
            return []
        return [Job(path) for path in sorted(self.folder.iterdir()) if TOKENS.fullmatch(path.name)]


class Job:
    """The processes that one command has started, identified by their token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = folder.name
        self.descriptor = -1
        self.has_ended = False

    @property
    def is_owned(self) -> bool:
        """Return True if a living process owns the token.

        The kernel releases the owner's lock, however the owner ends.
        """
        with self.held_if_orphaned() as is_orphaned:
            return not is_orphaned

    @contextmanager
    def held_if_orphaned(self) -> Iterator[bool]:
        """Provide True if no living process owns the token. Then nobody can own it during the block."""
        try:
            descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            yield True
            return
        try:
            yield _lock_at_once(descriptor)
        finally:
            os.close(descriptor)

    def own(self) -> None:
        """Create the folder and own it. Raise FileNotFoundError if another command has removed it."""
        self.folder.mkdir()
        self.descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        with contextlib.suppress(OSError):  # some file systems lock only files
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        if not self.folder.is_dir():
            self.release_ownership()
            raise FileNotFoundError(self.folder)

    def release_ownership(self) -> None:
        """Give up ownership. A process that has inherited the descriptor keeps it."""
        os.close(self.descriptor)
        self.descriptor = -1

    def run(
        self,
        argv: Sequence[str],
        cwd: Path,
        env: Mapping[str, str],
        log: IO[bytes],
        on_line: Callable[[OutputLine], None],
        seconds: float = float("inf"),
    ) -> int:
        self.has_ended = False
        with _start(argv, cwd, self.environment(env), self.token) as child:
            for line in _lines(child, time.monotonic() + seconds):
                log.write(line.text.encode() + b"\n")
                log.flush()
                on_line(line)
            code = _wait(child)
        assert code is not None
        # A subreaper exits with a code only after all its descendants; a signal may have hit it itself.
        self.has_ended = LINUX and code >= 0
        return code

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return ``env`` with the token and with a folder for temporary files."""
        folder = short_path(self.folder)
        return {"KERAS_HOME": f"{folder}/keras", **env, TOKEN: self.token, "TMPDIR": folder}

    def end(self) -> list[int]:
        """Kill all processes of the job, then remove its folder. Return the processes that do not end."""
        if not self.has_ended and (processes := kill_by_token(self.token)):
            return processes
        remove_link(self.token)
        remove_tree(self.folder)
        return []


def _lock_at_once(descriptor: int) -> bool:
    """Return False if another process holds the lock. Some file systems can lock only files, not folders."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return not isinstance(error, BlockingIOError)
    return True


@contextmanager
def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str], token: str) -> Iterator[subprocess.Popen[bytes]]:
    import subprocess

    children: list[subprocess.Popen[bytes]] = []  # a signal during the start raises after it, so that no child is lost

    def start() -> None:
        children.append(
            subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=Subreaper(token, GRACE_SECONDS, DRAIN_SECONDS, os.getpid()).fork if LINUX else None,
            )
        )

    try:
        uninterrupted(start)
        yield children[0]
    finally:
        for child in children:
            _kill(child)


def _lines(child: subprocess.Popen[bytes], limit: float) -> Iterator[OutputLine]:
    """Yield the lines of the child's output. Raise TimeLimitError if it still runs at the time ``limit``."""
    lines = OutputLines()
    for chunk in _chunks(child):
        yield from lines.feed(chunk, time.monotonic())
        if time.monotonic() > limit and uninterrupted(child.poll) is None:
            yield from lines.close()
            raise TimeLimitError
    yield from lines.close()


def _chunks(child: subprocess.Popen[bytes]) -> Iterator[bytes]:
    """Yield the child's output until it is closed, or DRAIN_SECONDS after the child's end; b"" if there is none yet."""
    assert child.stdout is not None
    output, deadline = child.stdout.fileno(), float("inf")
    while time.monotonic() < deadline:
        ready, _, _ = select.select([output], [], [], 0.1)
        chunk = os.read(output, 1 << 16) if ready else b""
        if ready and not chunk:
            return
        yield chunk
        if uninterrupted(child.poll) is not None:
            deadline = min(deadline, time.monotonic() + (DRAIN_SECONDS if chunk else 0.0))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the child and everything that it has started: SIGTERM first if it still runs, then SIGKILL."""

    def end(seconds: float) -> None:
        if uninterrupted(child.poll) is None:
            uninterrupted(child.terminate)
            _wait(child, seconds)

    try:
        end(GRACE_SECONDS + DRAIN_SECONDS)
    finally:
        try:
            end(KILL_SECONDS)  # after the second signal a subreaper kills its processes
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            _wait(child)
            assert child.stdout is not None
            child.stdout.close()


def _wait(child: subprocess.Popen[bytes], seconds: float = float("inf")) -> int | None:
    """Return the child's exit code, or None if it still runs after ``seconds``.

    An interrupted ``Popen.wait`` may keep its lock, or lose the exit code.
    """
    deadline, pause = time.monotonic() + seconds, 0.0005
    while (code := uninterrupted(child.poll)) is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, 0.02)
    return code
