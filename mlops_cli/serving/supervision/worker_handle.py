"""A worker process, as the supervisor controls it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_cli.serving.control_files import Deployment, EndpointDirectory
from mlops_cli.serving.http.frames import NEWS, Frame, FrameReader, pack_frame
from mlops_cli.serving.worker.progress_board import ProgressBoard, open_board_file

log = logging.getLogger("mlops.server")

PREDICT = "predict"
SLOWER = "Make it load faster, or allow more minutes: deploy in [time_limits] of usecase.toml; then: mlops run"
# The time for a dead worker's last responses to arrive. A child of the worker may keep the socket open.
LAST_ANSWERS_SECONDS = 0.5
LEAVE_SECONDS = 3.0


class DeploymentError(Exception):
    """The new worker cannot serve. The previous deployment stays in service."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(eq=False)
class WorkerRequest:
    """A request on its way to a worker and back. ``deaths``: how many workers have died while computing it."""

    number: int
    kind: str
    fields: list[object]
    body: bytes
    answer: asyncio.Future[tuple[Frame, str]]
    alone: bool = False
    deaths: int = 0
    worker: Worker | None = None

    def frame(self) -> bytes:
        return pack_frame(self.number, [self.kind, self.alone, *self.fields], self.body)


class Channel(asyncio.Protocol):
    """The front's end of a socket to a worker."""

    def __init__(self, on_frame: Callable[[Frame], None]) -> None:
        self._on_frame = on_frame
        self._frames = FrameReader()
        self._unsent: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.closed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self._frames.feed(data):
            self._on_frame(frame)

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed.set()

    def send(self, data: bytes) -> None:
        """Send the frame together with the other frames of this moment, in one system call."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        if self.transport is not None and not self.closed.is_set():
            self.transport.write(b"".join(self._unsent))
        self._unsent.clear()


@dataclass(frozen=True)
class Start:
    """The arguments of a worker. ``private_uri``: the address of the model for the calls of a ``handler``."""

    folder: EndpointDirectory
    package: Path
    deployment: Deployment
    public_uri: str
    private_uri: str
    write_output: Callable[[bytes], None]


class Worker:
    """A worker process, its sockets, and the requests that it has not answered yet."""

    def __init__(self, process: asyncio.subprocess.Process, start: Start, board: int, life: int) -> None:
        self.process = process
        self.package = start.package
        self.digest = start.deployment.digest
        self.board = ProgressBoard(board)
        os.close(board)
        self._life = life
        self.pending: dict[int, WorkerRequest] = {}
        self.version = ""
        self.has_handler = False
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._channels = [Channel(self._receive), Channel(self._receive)]

    @classmethod
    async def start(cls, start: Start) -> Worker:
        """Start the process. Raise OSError if no process, memory or file is available."""
        with contextlib.ExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(2)]
            for pair in pairs:
                stack.callback(pair[1].close)
            life_end, life = os.pipe()
            stack.callback(os.close, life_end)
            output, output_end = os.pipe()
            stack.callback(os.close, output_end)
            board = open_board_file()
            descriptors = {
                "requests": pairs[0][1].fileno(),
                "predictions": pairs[1][1].fileno(),
                "board": board,
                "life": life_end,
            }
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "mlops_cli.serving.worker.worker", _command(start, descriptors)),
                    pass_fds=tuple(descriptors.values()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output_end,
                    stderr=output_end,
                )
            except OSError:
                for descriptor in (life, output, board):
                    os.close(descriptor)
                for near, _ in pairs:
                    near.close()
                raise
        threading.Thread(target=_copy_output, args=(output, start.write_output), daemon=True).start()
        worker = cls(process, start, board, life)
        loop = asyncio.get_running_loop()
        for channel, (near, _) in zip(worker._channels, pairs, strict=True):
            near.setblocking(False)
            await loop.create_connection(lambda channel=channel: channel, sock=near)  # type: ignore[misc]
        return worker

    async def wait_until_ready(self, seconds: float) -> None:
        """Raise DeploymentError if the worker cannot serve, ends, or is not ready in time."""
        ended = asyncio.create_task(self.process.wait())
        await asyncio.wait((ended, self._ready), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done() and ended.done():
            await self.last_answers()
        if self._ready.done():
            ended.cancel()
            return self._ready.result()
        if ended.done():
            raise DeploymentError(f"The new server ended before it was ready ({self.ending(ended.result())}).")
        ended.cancel()
        raise DeploymentError(f"The new server was not ready after {seconds:g} s, its time limit.", SLOWER)

    def send(self, request: WorkerRequest) -> None:
        request.worker = self
        self.pending[request.number] = request
        self._channel(request).send(request.frame())

    def forget(self, request: WorkerRequest) -> None:
        """Drop a request. The worker does not start it any more."""
        request.worker = None
        if self.pending.pop(request.number, None) is not None:
            self._channel(request).send(pack_frame(request.number, None))

    def take_pending(self) -> list[WorkerRequest]:
        """Return the unanswered requests in their order, and remove them here."""
        requests = list(self.pending.values())
        self.pending.clear()
        for request in requests:
            request.worker = None
        return requests

    async def last_answers(self) -> None:
        """Wait until everything that the dead worker has sent is read."""
        with contextlib.suppress(asyncio.TimeoutError):
            waits = [channel.closed.wait() for channel in self._channels]
            await asyncio.wait_for(asyncio.gather(*waits), LAST_ANSWERS_SECONDS)

    async def end(self) -> None:
        """End the worker. Kill it if it does not end. The caller has moved its requests before."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(sign)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.process.wait(), LEAVE_SECONDS)
                break
        self.close()

    def close(self) -> None:
        """Close sockets and pipes. A running worker detects this and ends at once."""
        for channel in self._channels:
            if channel.transport is not None:
                channel.transport.close()
        if self._life >= 0:
            os.close(self._life)
            self._life = -1
            self.board.close()

    @staticmethod
    def ending(code: int) -> str:
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def _channel(self, request: WorkerRequest) -> Channel:
        return self._channels[self.has_handler and request.kind == PREDICT]

    def _receive(self, frame: Frame) -> None:
        if frame.number == NEWS:
            self._receive_news(frame.fields)
            return
        request = self.pending.pop(frame.number, None)
        if request is not None and not request.answer.done():
            request.answer.set_result((frame, self.digest))

    def _receive_news(self, fields: list[object]) -> None:
        if self._ready.done():
            return
        if fields[0] == "ready":
            self.version, self.has_handler = str(fields[1]), bool(fields[2])
            self._ready.set_result(None)
        else:
            self._ready.set_exception(DeploymentError(f"The model cannot be served: {fields[1]}"))


def _command(start: Start, descriptors: dict[str, int]) -> str:
    paths = {"folder": str(start.folder.root), "package": str(start.package)}
    addresses = {"public_uri": start.public_uri, "private_uri": start.private_uri}
    return json.dumps({**descriptors, **paths, **addresses, "deployment": asdict(start.deployment)})


def _copy_output(descriptor: int, write: Callable[[bytes], None]) -> None:
    """Write the worker's output to the log in a thread, so that much output does not delay requests."""
    with os.fdopen(descriptor, "rb", buffering=0) as stream:
        while data := stream.read(1 << 16):
            write(data)
