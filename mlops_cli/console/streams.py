"""The standard streams, made safe: open, with an encoding that cannot fail; the command can continue without them.

If the reader has left (``mlops run | head -1``), the disk is full or the terminal is lost, only a command that does
nothing but show ends. Any other command finishes its work without the stream.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any, TextIO

from mlops_cli.errors import EXIT_ERROR

ENDED_HINT = "Send the output elsewhere, then repeat the command."
FINISHED_HINT = "The command continued without its output. Show the state: mlops status"
EXIT_NO_READER = 128 + 13  # as if SIGPIPE had ended the command


class StandardFile(io.FileIO):
    """Standard output or error. ``lost``: the error of a write; nothing is written after it.

    With ``ends_command`` this error is raised once.
    """

    def __init__(self, descriptor: int, ends_command: bool, replaced: TextIO | None = None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._replaced = replaced  # it would close the descriptor when it is deleted
        self.ends_command = ends_command
        self.lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        try:
            while (count := super().write(data)) is None:  # another program with the same terminal made it non-blocking
                select.select([], [self], [])
            return count
        except OSError as error:
            self.lost = error
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self.fileno())
            os.close(null)
            if self.ends_command:
                raise
            return memoryview(data).nbytes


_files: dict[str, StandardFile] = {}


def open_streams() -> None:
    """Open closed streams on /dev/null. Replace characters that a stream's encoding lacks."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 (open to the end)
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
            if name != "stdin":
                setattr(sys, name, _outlived(name, stream))


def _outlived(name: str, stream: io.TextIOWrapper) -> TextIO:
    file = _files[name] = StandardFile(stream.fileno(), name == "stdout", stream)
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def go_on_without_output() -> None:
    """Continue without a lost stream, because the command has work to finish."""
    for file in _files.values():
        file.ends_command = False


def lost_stream() -> OSError | None:
    """Return the error with which a standard stream was lost, or None."""
    return next((file.lost for file in _files.values() if file.lost), None)


def exit_code(code: int) -> int:
    """Return the exit code: 141 if the command ended because its reader left. Report any other lost output."""
    file = _files.get("stdout")
    if file is None or file.lost is None:
        return code
    if file.lost.errno == errno.EPIPE:
        return EXIT_NO_READER if file.ends_command else code
    if code and not file.ends_command:
        return code
    print(f"error: Standard output could not be written: {file.lost.strerror}.", file=sys.stderr)
    print(f"hint: {ENDED_HINT if file.ends_command else FINISHED_HINT}", file=sys.stderr)
    return code or EXIT_ERROR
