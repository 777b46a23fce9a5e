"""The open connections of the HTTP front. Their number and their unsent responses are limited."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import logging
import resource
import socket
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_cli.serving.http.protocol import BoundedProtocol, Factory

log = logging.getLogger("mlops.server")

BACKLOG = 64
# Descriptors that are reserved for files, pipes and workers.
OTHER_DESCRIPTORS = 64
PAUSE_SECONDS = 0.2
# Seconds between two checks of a server whose connections are all busy.
FULL_SECONDS = 0.02
LOG_SECONDS = 60.0
UNSENT_BYTES = 268_435_456
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connections:
    """If there are too many, the connection that has been idle or incomplete for the longest time is closed."""

    def __init__(self, limit: int) -> None:
        # Half of the descriptors are reserved: for a handler's own calls, and for the clients that wait for the
        # handler.
        self._limit = min(limit, (_descriptors() - OTHER_DESCRIPTORS) // 2)
        self._open: dict[BoundedProtocol, None] = {}  # the one that has been idle for the longest time first
        self._unsent: dict[BoundedProtocol, int] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, protocol: BoundedProtocol) -> None:
        self._open[protocol] = None

    def touch(self, protocol: BoundedProtocol) -> None:
        if protocol in self._open:
            self._open[protocol] = self._open.pop(protocol)

    def remove(self, protocol: BoundedProtocol) -> None:
        self._open.pop(protocol, None)

    def is_full(self, arriving: int) -> bool:
        return len(self._open) + arriving >= self._limit

    def longest_idle(self) -> BoundedProtocol | None:
        idle = (protocol for protocol in self._open if protocol.is_idle)
        return next((protocol for protocol in idle if not _has_unread_bytes(protocol.transport)), None)

    def close_answered(self) -> None:
        """Close the connections without a request. Mark the others: they close with their next response."""
        for protocol in list(self._open):
            if not _has_unread_bytes(protocol.transport):
                protocol.shutdown()

    def drop_all(self) -> None:
        for protocol in list(self._open):
            self.drop(protocol)

    def drop(self, protocol: BoundedProtocol) -> None:
        self._open.pop(protocol, None)
        protocol.transport.abort()

    def hold_unsent(self, protocol: BoundedProtocol) -> None:
        """Record a response that its client does not read. If there are too many bytes, drop the oldest response."""
        self._unsent[protocol] = protocol.transport.get_write_buffer_size()
        while sum(self._unsent.values()) > UNSENT_BYTES:
            oldest = next(iter(self._unsent))
            del self._unsent[oldest]
            oldest.transport.abort()

    def release_unsent(self, protocol: BoundedProtocol) -> None:
        self._unsent.pop(protocol, None)


class AcceptingSocket:
    """Accepts the connections of a listening socket while there is room."""

    def __init__(self, listener: socket.socket, factory: Factory, connections: Connections) -> None:
        self.listener = listener
        self._factory = factory
        self._connections = connections
        self._arriving: set[asyncio.Task[object]] = set()
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        self._logged = 0.0
        listener.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Accept no more connections than those that have been opened already."""
        if self._is_open:
            self._accept()
        self._is_open = False
        self._loop.remove_reader(self.listener)
        self.listener.close()

    async def finish(self, seconds: float) -> None:
        """Close the socket, answer the requests that have arrived, and drop what is open after ``seconds``."""
        self.close()
        deadline = time.monotonic() + seconds
        while (self._arriving or len(self._connections)) and time.monotonic() < deadline:
            self._connections.close_answered()
            await asyncio.sleep(FULL_SECONDS)
        self._connections.drop_all()

    def _accept(self) -> None:
        for _ in range(BACKLOG):
            is_full = self._connections.is_full(len(self._arriving))
            if is_full and self._connections.longest_idle() is None:
                self._pause(FULL_SECONDS)
                return
            try:
                connection, _ = self.listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._log(error)
                self._pause(PAUSE_SECONDS)
                return
            # Check again: the idle client may have sent its request before this client connected.
            if is_full and (idle := self._connections.longest_idle()):
                self._connections.drop(idle)
            connection.setblocking(False)
            task = self._loop.create_task(self._loop.connect_accepted_socket(self._factory, connection))
            self._arriving.add(task)
            task.add_done_callback(self._arrived)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self.listener)
        self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        if self._is_open:
            self._loop.add_reader(self.listener, self._accept)

    def _arrived(self, task: asyncio.Task[object]) -> None:
        self._arriving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.info("a connection was not taken: %s", error)

    def _log(self, error: OSError) -> None:
        """Log once a minute, not thousands of times, that the server has no free file descriptor."""
        if time.monotonic() - self._logged > LOG_SECONDS:
            self._logged = time.monotonic()
            log.error("no connection can be taken at present: %s", error)


def _has_unread_bytes(transport: asyncio.Transport) -> bool:
    """Return True if a client has sent bytes that are not read yet: its connection only seems idle."""
    size = array.array("i", [0])
    try:
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, size)
    except (OSError, ValueError):  # it is closed
        return False
    return size[0] > 0


def raise_descriptor_limit() -> None:
    """Use as many file descriptors as this user may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else soft
