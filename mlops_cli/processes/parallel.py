"""Calls in several threads, which a signal can end at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlops_cli.processes.interruption import uninterrupted

Item = TypeVar("Item")
Result = TypeVar("Result")
PAUSE_SECONDS = 0.005


def call_in_threads(call: Callable[[Item], Result], items: Iterable[Item], most: int) -> list[Result]:
    """Return the results in the order of the items; at most so many calls at once. Raise what the first failed one did.

    After a signal no further call begins. This thread sleeps until the calls are done, and nothing else:
    KeyboardInterrupt inside of a pool or a future leaves a lock held, or releases one that it does not hold.
    """
    waiting = list(items)
    pool = ThreadPoolExecutor(most)
    try:
        futures = uninterrupted(lambda: [pool.submit(call, item) for item in waiting])
        while not uninterrupted(lambda: all(future.done() for future in futures)):
            time.sleep(PAUSE_SECONDS)
        return uninterrupted(lambda: [future.result() for future in futures])
    finally:
        uninterrupted(lambda: pool.shutdown(wait=False, cancel_futures=True))
