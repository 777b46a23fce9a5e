"""Shared memory in which a worker notes the requests in work. The front can read it after a crash."""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections.abc import Sequence

WORD = struct.Struct("<Q")
MAX_THREADS = 320
# The number of requests of one step that are noted; further requests are not.
MAX_TOGETHER = 63
ROW = (MAX_TOGETHER + 1) * WORD.size


class ProgressBoard:
    """A counter that a living worker increments, and one row for each thread: a count, and this many requests."""

    def __init__(self, descriptor: int) -> None:
        self._memory = mmap.mmap(descriptor, WORD.size + MAX_THREADS * ROW)

    @property
    def beats(self) -> int:
        return int(WORD.unpack_from(self._memory, 0)[0])

    def beat(self) -> None:
        WORD.pack_into(self._memory, 0, self.beats + 1)

    def begin(self, thread: int, numbers: Sequence[int]) -> None:
        """Note that a thread computes these requests from now on."""
        numbers = numbers[:MAX_TOGETHER]
        struct.pack_into(f"<{len(numbers) + 1}Q", self._memory, WORD.size + thread * ROW, len(numbers), *numbers)

    def end(self, thread: int) -> None:
        WORD.pack_into(self._memory, WORD.size + thread * ROW, 0)

    def in_progress(self) -> set[int]:
        """Return the numbers of the requests that are being computed, or were when the worker died."""
        numbers: set[int] = set()
        for start in range(WORD.size, WORD.size + MAX_THREADS * ROW, ROW):
            count = min(WORD.unpack_from(self._memory, start)[0], MAX_TOGETHER)
            numbers.update(struct.unpack_from(f"<{count}Q", self._memory, start + WORD.size))
        return numbers

    def close(self) -> None:
        self._memory.close()


def open_board_file() -> int:
    """Return the descriptor of a new file without a name, for a board."""
    with tempfile.TemporaryFile() as stream:
        os.truncate(stream.fileno(), WORD.size + MAX_THREADS * ROW)
        return os.dup(stream.fileno())
