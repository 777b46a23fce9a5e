"""Cut a child's output into lines. A progress bar overwrites its own line, and only some of its frames become lines."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from mlops_cli.core.secrets import without_secrets
from mlops_cli.plain_text import clipped, log_line

FRAME_SECONDS = 1.0
# Text without a line end, such as dots drawn one by one, becomes a line after this time.
UNFINISHED_SECONDS = 5.0
LONGEST_LINE = 1 << 20
# The end of a line; or, before text that overwrites it, of a frame: \r, backspaces, the cursor moved up.
END = re.compile(rb"\r*\n|\r+|\x08+|\x1b\[\d*[AF]")
# The possible beginning of such a line.
UNDECIDED = re.compile(rb"(?:\r+|\x08+|\x1b(?:\[\d*)?)\Z")
# Lines that TensorFlow's libraries print in every process: information, warnings, harmless double registrations.
LIBRARY_NOISE = re.compile(
    r"(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: )?(?:[IW]\d{4} \d\d:\d\d:[\d.]+ |[IW] (?:tensorflow|external|xla)/"
    r"|E\S* .*Unable to register cu\w+ factory)|WARNING: All log messages before absl::InitializeLog"
    r"|To enable the following instructions: "
)


@dataclass(frozen=True)
class OutputLine:
    """``overwritten``: a frame of a progress bar that the next frame replaces."""

    text: str
    overwritten: bool = False


class OutputLines:
    """Cuts output into lines. Of a progress bar, one frame in FRAME_SECONDS and the last frame become lines."""

    def __init__(self) -> None:
        self._pending = b""
        self._dropped = b""
        self._in_bar = False
        self._last = float("-inf")

    def feed(self, chunk: bytes, now: float) -> Iterator[OutputLine]:
        """Yield the lines that the chunk completes. An empty chunk means that time has passed."""
        if chunk and not self._pending and not self._in_bar:
            self._last = now
        output, start = self._pending + chunk, 0
        undecided = UNDECIDED.search(output) if chunk else None
        for end in END.finditer(output, 0, undecided.start() if undecided else len(output)):
            yield from self._ended(output[start : end.start()], end[0].endswith(b"\n"), now)
            start = end.end()
        self._pending = output[start:]
        if self._pending.strip() and self._is_overdue(now):
            yield OutputLine(_plain(self._pending), overwritten=self._in_bar)
            self._pending, self._last = b"", now

    def close(self) -> Iterator[OutputLine]:
        """Yield the text after the last line end."""
        last = self._pending if self._pending.strip() else self._dropped
        if last:
            yield OutputLine(_plain(last))
        self._pending = self._dropped = b""

    def _ended(self, line: bytes, is_line: bool, now: float) -> Iterator[OutputLine]:
        if is_line and not line and self._in_bar:  # a bar's newline alone moves the cursor
            return
        if is_line or (line.strip() and now - self._last >= FRAME_SECONDS):
            self._last, self._dropped = now, b""
            yield OutputLine(_plain(line), overwritten=not is_line)
        elif line.strip():
            self._dropped = line
        self._in_bar = not is_line

    def _is_overdue(self, now: float) -> bool:
        patience = FRAME_SECONDS if self._in_bar else UNFINISHED_SECONDS
        return len(self._pending) > LONGEST_LINE or now - self._last >= patience


class LastLines:
    """Keeps the last lines, shortened, without empty lines and noise of libraries. Frames of one bar are one line."""

    def __init__(self, most: int) -> None:
        self._lines: deque[OutputLine] = deque(maxlen=most)

    def add(self, line: OutputLine) -> None:
        if not line.text.strip() or LIBRARY_NOISE.match(line.text):
            return
        if self._lines and self._lines[-1].overwritten:
            self._lines.pop()
        self._lines.append(OutputLine(clipped(line.text), line.overwritten))

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self._lines]


def _plain(line: bytes) -> str:
    return without_secrets(log_line(line.decode("utf-8", "replace")))
