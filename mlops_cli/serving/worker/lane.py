"""One socket of a worker: its waiting requests, and the threads that answer them in batches."""

from __future__ import annotations

import logging
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Protocol

from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.http.container_answer import container_answer
from mlops_cli.serving.http.frames import Frame, FrameReader, pack_frame
from mlops_cli.serving.worker.batch import Batch, Invocation
from mlops_cli.serving.worker.progress_board import MAX_THREADS, ProgressBoard

log = logging.getLogger("mlops.server")

RECEIVED_BYTES = 1 << 20
# Larger requests run alone, one at a time in each thread, so that they do not delay small requests.
LARGE_BYTES = 262_144
# Once a thread hangs, the next one counts as hanging after this share of the usual time.
IMPATIENCE = 8
WAIT_SECONDS = 0.05


class Engine(Protocol):
    """Computes the responses: a loaded model with its handlers.

    ``patience``: the multiple of the usual time for which other requests wait for one, before another thread continues.
    """

    patience: int

    def run(self, batch: Batch) -> None:
        """Set the response or the error of each request, in steps that the batch attempts."""


class Inbox:
    """The requests that have arrived and that no thread has taken."""

    def __init__(
        self, channel: socket.socket, limits: Limits, read: Callable[[Frame], Invocation], batch_requests: int
    ) -> None:
        self._channel = channel
        self._limits = limits
        self._batch_requests = batch_requests
        self._read = read
        self._frames = FrameReader()
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._waiting: dict[int, Invocation] = {}
        self._lock = threading.Lock()
        self._is_closed = False

    def gather(self, expected: int, takes_large: Callable[[], bool]) -> list[Invocation]:
        """Return the next requests of a batch; none at the end of the socket.

        A batch starts at once if no more requests are expected, so a single client never waits. Otherwise it starts
        after at most ``batch_seconds``.
        """
        with self._lock:
            while not self._is_closed:
                self._receive(None if not self._waiting else 0)
                if batch := self._take(expected, takes_large):
                    return batch
                if self._waiting:  # large ones, which must wait
                    self._receive(WAIT_SECONDS)
            return []

    def waiting(self) -> int:
        """Return the number of requests that wait now."""
        with self._lock:
            self._receive(0)
            return len(self._waiting)

    def _take(self, expected: int, takes_large: Callable[[], bool]) -> list[Invocation]:
        large_allowed = takes_large()
        deadline = time.monotonic() + self._limits.batch_seconds
        batch: list[Invocation] = []
        while True:
            batch += self._pick(self._batch_requests - len(batch), large_allowed and not batch)
            if not batch or _is_alone(batch[0]) or len(batch) >= min(expected, self._batch_requests):
                return batch
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                return batch
            self._receive(seconds)

    def _pick(self, count: int, large_allowed: bool) -> list[Invocation]:
        """Remove and return the oldest requests that can share a batch, or one that runs alone."""
        batch: list[Invocation] = []
        for invocation in list(self._waiting.values()):
            if len(batch) >= count:
                break
            if _is_alone(invocation):
                if not large_allowed or batch:
                    continue
                count = 1
            batch.append(self._waiting.pop(invocation.number))
        return batch

    def _receive(self, seconds: float | None) -> None:
        """Read the requests that have arrived. Wait for one; without a limit if ``seconds`` is None."""
        if not self._poll.poll(None if seconds is None else max(0, seconds * 1000)):
            return
        data = self._channel.recv(RECEIVED_BYTES)
        self._is_closed = not data
        for frame in self._frames.feed(data):
            if frame.fields is None:
                self._waiting.pop(frame.number, None)
            else:
                self._waiting[frame.number] = self._read(frame)


def _is_alone(invocation: Invocation) -> bool:
    return invocation.alone or len(invocation.body) > LARGE_BYTES


class Lane:
    """A fixed number of threads that answer requests. A thread that hangs is replaced, and keeps its own requests."""

    def __init__(
        self,
        channel: socket.socket,
        engine: Engine,
        board: ProgressBoard,
        limits: Limits,
        read: Callable[[Frame], Invocation],
        threads: int,
        rows: list[int],
    ) -> None:
        """``rows``: the free rows of the board, which the lanes of a worker share."""
        self._channel = channel
        self._engine = engine
        self._board = board
        self._limits = limits
        self._inbox = Inbox(channel, limits, read, limits.batch_requests if threads == 1 else 1)
        self._send_lock = threading.Lock()
        self._threads = threads
        self._rows = rows
        self._batches: dict[int, Batch] = {}
        for _ in range(threads):
            self._start_thread([])

    def look(self) -> None:
        """Replace each thread whose present step takes too long."""
        now = time.monotonic()
        running = list(self._batches.items())
        hanging = sum(bool(batch.kept) for _, batch in running)
        patience = self._engine.patience * self._limits.takeover_seconds / (IMPATIENCE if hanging else 1)
        for row, batch in running:
            if batch.kept is None and self._rows and batch.busy_seconds(now) > patience:
                requests = batch.hand_over()
                kept = len(batch.kept or ())
                log.info("a step takes long: thread %d keeps %d requests, another has %d", row, kept, len(requests))
                self._deliver(batch)
                self._start_thread(requests)

    def _start_thread(self, invocations: list[Invocation]) -> None:
        row = self._rows.pop()
        threading.Thread(target=self._work, args=(row, invocations), name=f"lane-{row}", daemon=True).start()

    def _work(self, row: int, invocations: list[Invocation]) -> None:
        expected = 1
        while True:
            invocations = invocations or self._inbox.gather(expected, self._takes_large)
            if not invocations:
                return
            batch = self._batches[row] = Batch(invocations, self._board, row, self._deliver)
            try:
                self._engine.run(batch)
            except BaseException as error:
                log.critical("the requests of a batch are failed", exc_info=error)
                for invocation in invocations:
                    invocation.error = invocation.error or error
            self._deliver(batch)
            del self._batches[row]
            if batch.kept is not None:
                self._rows.append(row)
                return
            expected = len(invocations) + self._inbox.waiting() if self._threads == 1 else 1
            invocations = []

    def _takes_large(self) -> bool:
        large = sum(_is_alone(invocation) for batch in list(self._batches.values()) for invocation in batch.invocations)
        return large < self._threads

    def _deliver(self, batch: Batch) -> None:
        """Send the responses of the finished requests that belong to this thread."""
        with self._send_lock:
            frames = []
            for invocation in batch.invocations:
                if invocation.is_finished and not invocation.is_delivered:
                    invocation.is_delivered = True
                    answer = container_answer(invocation)
                    frames.append(pack_frame(invocation.number, answer.fields, answer.body))
            if frames:
                self._channel.sendall(b"".join(frames))


def free_rows() -> list[int]:
    return list(range(MAX_THREADS))
