"""The requests between the HTTP front and the workers: waiting, being computed, given up, or repeated after a crash."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.supervision.worker_handle import Worker, WorkerRequest

log = logging.getLogger("mlops.server")

MOST_DEATHS = 3
SUSPECT_SECONDS = 5.0  # a suspect that takes longer does not delay the next one


class QueueFullError(Exception):
    pass


class OutOfServiceError(Exception):
    """No worker can be started. The message is the reason."""


class ClientGoneError(Exception):
    pass


class WorkerDiedError(Exception):
    """The worker died while it computed this request."""


class WorkerAnswer(NamedTuple):
    """The container's response, and the digest of the model that computed it."""

    status: int
    content_type: str
    headers: list[tuple[str, str]]
    body: bytes
    digest: str


class Dispatcher:
    """Sends requests to the worker in service. Without a worker they wait; each has its own time limit."""

    def __init__(self, limits: Limits, on_hanging: Callable[[Worker], None]) -> None:
        """``on_hanging`` is called with a worker that still computes a request after its time limit."""
        self.limits = limits
        self.worker: Worker | None = None
        self.out_of_service = ""
        self._on_hanging = on_hanging
        self._numbers = itertools.count(1)
        self._waiting: list[WorkerRequest] = []
        # Requests that were being computed when a worker died. They are sent one at a time, to find the fatal one.
        self._suspects: list[WorkerRequest] = []
        self._suspect: WorkerRequest | None = None
        self._count = self._bytes = self._reading_bytes = 0

    async def submit(
        self,
        kind: str,
        fields: list[object],
        body: bytes,
        worker: Worker | None,
        on_request: Callable[[WorkerRequest], None],
    ) -> WorkerAnswer:
        """Return the response of ``worker``, or of the worker in service.

        Raise QueueFullError, OutOfServiceError, WorkerDiedError, ClientGoneError, or TimeoutError.
        """
        limits = self.limits
        if self.out_of_service:
            raise OutOfServiceError(self.out_of_service)
        if self._count >= limits.waiting_requests or self._bytes + len(body) > limits.waiting_bytes:
            raise QueueFullError
        loop = asyncio.get_running_loop()
        request = WorkerRequest(next(self._numbers), kind, fields, body, loop.create_future())
        self._count += 1
        self._bytes += len(body)
        clock = loop.call_later(limits.request_seconds, self._expire, request)
        try:
            on_request(request)
            self._send(request, worker)
            frame, digest = await request.answer
        finally:
            clock.cancel()
            self._count -= 1
            self._bytes -= len(body)
            if request is self._suspect:
                self._send_suspect()
        status, content_type, headers = frame.fields
        return WorkerAnswer(status, content_type, headers, frame.body, digest)

    def reserve(self, size: int) -> None:
        """Count the bytes of a body that is being read. Raise QueueFullError if there are too many in memory."""
        self._reading_bytes += size
        if self._reading_bytes > self.limits.waiting_bytes:
            raise QueueFullError

    def release(self, size: int) -> None:
        self._reading_bytes -= size

    def give_up(self, request: WorkerRequest) -> None:
        """Drop the request of a client that has closed its connection."""
        self._withdraw(request)
        self._fail([request], ClientGoneError())

    def use(self, worker: Worker) -> None:
        """Send requests to this worker from now on, including those that wait."""
        self.worker = worker
        self.out_of_service = ""
        waiting, self._waiting = self._waiting, []
        for request in waiting:
            self._send(request)
        self._send_suspect()

    def suspend(self, reason: str) -> None:
        """Refuse requests until a worker is in service again."""
        self.out_of_service = reason
        waiting, self._waiting, self._suspects = [*self._waiting, *self._suspects], [], []
        self._fail(waiting, OutOfServiceError(reason))

    def lose(self, worker: Worker) -> tuple[int, int]:
        """Handle the requests of a dead worker. Return how many it was computing, and how many are lost.

        The next worker computes the requests that this one had not started. If it was computing several, any of them
        may have killed it, so they are tried one after the other.
        """
        if self.worker is worker:
            self.worker = None
        in_progress = worker.board.in_progress()
        pending = worker.take_pending()
        suspects = [request for request in pending if request.number in in_progress]
        for request in suspects:
            request.alone = True
            request.deaths += 1
        lost = [request for request in suspects if len(suspects) == 1 or request.deaths >= MOST_DEATHS]
        self._fail(lost, WorkerDiedError())
        for request in pending:
            if request not in lost:
                self._send(request)
        return len(suspects), len(lost)

    def move(self, worker: Worker) -> None:
        """Take the requests that a hanging worker has not started, and send them to the worker in service."""
        in_progress = worker.board.in_progress()
        for request in list(worker.pending.values()):
            if request.number not in in_progress:
                worker.forget(request)
                self._send(request)

    def _send(self, request: WorkerRequest, worker: Worker | None = None) -> None:
        if request.answer.done():
            return
        if request.alone:
            self._suspects.append(request)
            if request is self._suspect or self._suspect is None:
                self._send_suspect()
            return
        target = worker or self.worker
        if target is not None:
            target.send(request)
        else:
            self._waiting.append(request)

    def _send_suspect(self) -> None:
        """Send the suspect with the fewest deaths: harmless requests are answered before the fatal one is retried."""
        self._suspect = None
        self._suspects = [request for request in self._suspects if not request.answer.done()]
        if self._suspects and self.worker is not None:
            self._suspect = min(self._suspects, key=lambda request: request.deaths)
            self._suspects.remove(self._suspect)
            self.worker.send(self._suspect)
            asyncio.get_running_loop().call_later(SUSPECT_SECONDS, self._pass_over, self._suspect)

    def _pass_over(self, request: WorkerRequest) -> None:
        if request is self._suspect:
            self._send_suspect()

    def _expire(self, request: WorkerRequest) -> None:
        worker = request.worker
        self._withdraw(request)
        self._fail([request], TimeoutError())
        if worker is not None and request.number in worker.board.in_progress():
            self._on_hanging(worker)

    def _withdraw(self, request: WorkerRequest) -> None:
        if request.worker is not None:
            request.worker.forget(request)
        elif request in self._waiting:
            self._waiting.remove(request)
        elif request in self._suspects:
            self._suspects.remove(request)

    def _fail(self, requests: Iterable[WorkerRequest], error: Exception) -> None:
        for request in requests:
            if not request.answer.done():
                request.answer.set_exception(error)
