"""The server's log on descriptors 1 and 2 of the supervisor. When it is full, a new file replaces it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from pathlib import Path

from mlops_cli.core.secrets import without_secrets

LOG_BYTES = 5_000_000
STDOUT, STDERR = 1, 2


class LogFile(logging.Handler):
    """Writes log records and the output of the workers. Two files of ``limit`` bytes are kept."""

    def __init__(self, path: Path, limit: int = LOG_BYTES) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        self._path = path
        self._limit = limit
        self._write_lock = threading.Lock()
        self._size = os.fstat(STDERR).st_size

    def emit(self, record: logging.LogRecord) -> None:
        self.write(f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))

    def write(self, data: bytes) -> None:
        """Append the text without secrets. Drop lines for which the disk has no room."""
        data = without_secrets(data.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        with self._write_lock, contextlib.suppress(OSError):
            os.write(STDERR, data)
            self._size += len(data)
            if self._size > self._limit:
                self._renew()

    def _renew(self) -> None:
        self._size = 0
        self._path.replace(self._path.with_suffix(".log.1"))
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.dup2(descriptor, STDOUT)
        os.dup2(descriptor, STDERR)
        os.close(descriptor)
