"""Call functions in several threads that a signal can end at any time."""

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
    """Return the results in the order of the items, with a limited number of calls at once. Raise the first failure.

    After a signal no further call begins. This thread only sleeps until the calls are done: KeyboardInterrupt inside of
    a pool or a future may leave a lock held, or release a lock that it does not hold.
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
