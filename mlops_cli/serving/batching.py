"""Dynamic micro-batching: requests that wait together are answered by one call of the model."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mlops_cli.serving.control_files import Limits


class QueueFullError(Exception):
    """More requests wait than the limits allow."""


class Job(Protocol):
    """One request: the runner sets ``answer`` or ``error``."""

    error: Exception | None

    @property
    def size(self) -> int:
        """Bytes that it keeps in memory."""

    def is_cancelled(self) -> bool:
        """Whether nobody waits for the answer any more."""


J = TypeVar("J", bound=Job)


class Batcher(Generic[J]):
    """A queue and one thread that runs what has gathered in it.

    A batch starts at once if no more requests are to be expected, which is what the previous batch and
    the queue tell: a lone client never waits. Otherwise it starts after ``batch_seconds`` at the latest.
    """

    def __init__(self, run: Callable[[list[J]], None], limits: Limits) -> None:
        self._run = run
        self._limits = limits
        self._queue: queue.SimpleQueue[tuple[J, asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._waiting = self._waiting_bytes = 0
        self._started: float | None = None
        threading.Thread(target=self._work, name="batches", daemon=True).start()

    async def submit(self, job: J) -> None:
        """Return when the job was run; raises QueueFullError, or what the job failed with."""
        limits = self._limits
        full = self._waiting >= limits.waiting_requests
        if full or self._waiting_bytes + job.size > limits.waiting_bytes:
            raise QueueFullError
        self._waiting += 1
        self._waiting_bytes += job.size
        future: asyncio.Future[None] = self._loop.create_future()
        self._queue.put((job, future))
        try:
            await future
        finally:
            self._waiting -= 1
            self._waiting_bytes -= job.size
        if job.error is not None:
            raise job.error

    @property
    def busy_seconds(self) -> float:
        """How long the batch that runs now has been running."""
        started = self._started
        return 0.0 if started is None else time.monotonic() - started

    def _work(self) -> None:
        expected = 1
        while True:
            batch = self._gather(expected)
            jobs = [job for job, _ in batch if not job.is_cancelled()]
            if jobs:
                self._started = time.monotonic()
                self._run_guarded(jobs)
                self._started = None
            expected = len(jobs) + self._queue.qsize()
            self._loop.call_soon_threadsafe(_deliver, [future for _, future in batch])

    def _run_guarded(self, jobs: list[J]) -> None:
        """Without this thread nothing is answered any more: it outlives whatever the runner raises."""
        try:
            self._run(jobs)
        except Exception as error:  # noqa: BLE001 - every submitter of the batch gets it
            for job in jobs:
                job.error = job.error or error

    def _gather(self, expected: int) -> list[tuple[J, asyncio.Future[None]]]:
        batch = [self._queue.get()]
        deadline = time.monotonic() + self._limits.batch_seconds
        while len(batch) < self._limits.batch_requests:
            seconds = deadline - time.monotonic() if len(batch) < expected else 0.0
            try:
                batch.append(self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait())
            except queue.Empty:
                break
        return batch


def _deliver(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
