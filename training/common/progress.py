"""A job's progress lines: `progress 120/640 epoch 1/2 loss 0.2130`."""

from __future__ import annotations

import time

SECONDS = 0.5


class Progress:
    """Prints the progress towards ``total``: a few lines a second at most, and always the last one."""

    def __init__(self, total: int) -> None:
        self._total, self._next = total, 0.0

    def __call__(self, done: int, text: str) -> None:
        now = time.monotonic()
        if now >= self._next or done == self._total:
            self._next = now + SECONDS
            print(f"progress {done}/{self._total} {text}", flush=True)
