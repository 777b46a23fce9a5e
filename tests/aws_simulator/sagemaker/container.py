"""A container: one plain process with a private /opt/ml, whose lines go somewhere and which cannot outlive us."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlops_cli.backends.local.process import die_with_parent

from .python import interpreter_folder

MOUNT = "/opt/ml"
TAIL_LINES = 40
DRAIN_SECONDS = 1.0
# "SIGTERM … followed, after 120 seconds, by SIGKILL" (StopTrainingJob).
GRACE_SECONDS = 120.0


def mapped(text: str, root: Path) -> str:
    """A command line's or variable's text with the container's paths made those below ``root``."""
    return text.replace(MOUNT, str(root))


class Container:
    """Runs in a thread of its caller: ``run`` blocks, ``stop`` and ``kill`` may be called from any other."""

    def __init__(
        self, argv: Sequence[str], folder: Path, env: Mapping[str, str], on_line: Callable[[str], None]
    ) -> None:
        self._argv = argv
        self._folder = folder
        self._env = {**_base_environment(folder), **env}
        self._on_line = on_line
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = threading.Event()
        self._killed = False
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)

    def run(self) -> int:
        """The exit code; negative: the signal that ended it. A program that is not there ends with 127."""
        try:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            self._line(f"exec {self._argv[0]}: {error.strerror}")
            return 127
        if self._killed:
            self._signal(signal.SIGKILL)
        reader = threading.Thread(target=self._read, daemon=True)
        reader.start()
        code = self._process.wait()
        self._ended.set()
        self._signal(signal.SIGKILL)  # whatever the main process has left behind
        reader.join(DRAIN_SECONDS)
        return code

    def stop(self, grace: float = GRACE_SECONDS) -> None:
        """SIGTERM, and SIGKILL if the process is still there after ``grace`` seconds."""
        if self._process is None:
            self.kill()
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        threading.Thread(target=self._kill_after, args=(grace,), daemon=True).start()

    def kill(self) -> None:
        self._killed = True
        self._signal(signal.SIGKILL)

    def _kill_after(self, seconds: float) -> None:
        if not self._ended.wait(seconds):
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self._line(line.decode("utf-8", "replace").rstrip("\n"))

    def _line(self, line: str) -> None:
        self.tail.append(line)
        self._on_line(line)


def _base_environment(folder: Path) -> dict[str, str]:
    """What an image brings: nothing of the test's own environment."""
    return {
        "PATH": f"{interpreter_folder()}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
