"""Dynamic micro-batching: one call of the model answers all requests that wait."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from mlops_cli.serving.control_files import Limits


class QueueFullError(Exception):
    pass


class Job(Protocol):
    """One request: the runner sets ``answer`` or ``error``."""

    error: Exception | None

    @property
    def size(self) -> int:
        """Return the bytes that the job keeps in memory."""

    def is_cancelled(self) -> bool:
        """Return True if the client no longer waits for the answer."""


J = TypeVar("J", bound=Job)


class Batcher(Generic[J]):
    """A queue and one thread that runs its jobs in batches.

    A batch starts at once if no more requests are expected, judging by the previous batch and the queue: a lone client
    never waits. Otherwise it starts after ``batch_seconds`` at the latest.
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
        """Return after the job was run; raise QueueFullError, or the job's own error."""
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
        """Return the seconds that the present batch has been running."""
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
        """Run the jobs and keep any error in them: without this thread no request would be answered any more."""
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
