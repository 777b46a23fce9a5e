"""uvicorn's HTTP protocol with limits on the size and the time of what a client sends and reads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlops_cli.serving.http.dispatcher import Dispatcher
from mlops_cli.serving.supervision.worker_handle import WorkerRequest

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from mlops_cli.serving.http.connections import Connections

log = logging.getLogger("mlops.server")

HEAD_BYTES = 65_536
MAX_HEADERS = 200
# A client that closes its sending side this soon after its request waits for the response; later, it has left.
HALF_CLOSE_SECONDS = 5.0
VERSIONS = ("1.0", "1.1")
HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 "
TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: 28\r\n"
    b'connection: close\r\n\r\n{"title": "Request Timeout"}'
)


class AnswerWriter:
    """A connection's transport that sends the head and the body of a response with one system call."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        if not self._head and data.endswith(HEAD_END) and not data.startswith(CONTINUE):
            self._head = data
        else:
            self._transport.write(self._head + data)
            self._head = b""

    def flush(self) -> None:
        """Send a head without a body: the response to HEAD."""
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """Respond 408 to a request that is too slow, 400 to a head that is too long; drop a client that does not read.

    Ignore ``Upgrade``, as RFC 9110 allows: Java's and Spring's clients ask for HTTP/2 with every request.
    """

    _clock: asyncio.TimerHandle | None = None
    _write_clock: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0
    _trailer_bytes = 0
    _upgrade = False
    _completed = 0.0

    def __init__(self, config: Config, state: ServerState, connections: Connections, dispatcher: Dispatcher) -> None:
        super().__init__(config, state, {})
        self._own = connections
        self._dispatcher = dispatcher
        self._requests: set[WorkerRequest] = set()

    @property
    def is_idle(self) -> bool:
        """Return True if no complete request waits for its response."""
        return (self.cycle is None or self.cycle.response_complete or self.cycle.more_body) and not self.pipeline

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writer = AnswerWriter(transport)
        self._own.add(self)
        self._clock = self.loop.call_later(self.timeout_keep_alive, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self.resume_writing()
        self._own.remove(self)
        for request in list(self._requests):
            self._dispatcher.give_up(request)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return True, which keeps the connection open, if the client's last requests still need responses."""
        if self.is_idle or self.loop.time() - self._completed > HALF_CLOSE_SECONDS:
            return False
        newest = self.pipeline[0][0] if self.pipeline else self.cycle
        newest.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        self._parse(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("Request header too large.")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._own.hold_unsent(self)
        if self._write_clock is None:
            self._write_clock = self.loop.call_later(self._dispatcher.limits.write_seconds, self._drop)

    def resume_writing(self) -> None:
        self._own.release_unsent(self)
        if self._write_clock is not None:
            self._write_clock.cancel()
            self._write_clock = None
        super().resume_writing()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self._own.touch(self)
        self._in_head, self._head_bytes, self._trailer_bytes, self._upgrade = True, 0, 0, False
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"mlops.watch": self._watch}
        self._stop_clock()
        self._clock = self.loop.call_later(self._dispatcher.limits.read_seconds, self._expire)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header field. Fields after a chunked body do not belong to the head, and their size is limited."""
        if self._in_head:
            super().on_header(name, value)
            return
        self._trailer_bytes += len(name) + len(value)
        if self._trailer_bytes > HEAD_BYTES:
            raise ValueError("too many fields behind the body")

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self.parser.should_upgrade():
            self._upgrade = True
            return
        if self.parser.get_http_version() not in VERSIONS:
            raise ValueError("no version of HTTP that is spoken here")
        if len(self.headers) > MAX_HEADERS:
            raise ValueError("too many headers")
        if any(value.lower() != b"chunked" for name, value in self.headers if name == b"transfer-encoding"):
            raise ValueError("a transfer coding that is not read here")
        super().on_headers_complete()
        self.cycle.transport = self._writer  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        if not self._upgrade:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._upgrade:
            self._stop_clock()
            self._completed = self.loop.time()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        self._writer.flush()
        self._own.touch(self)
        super().on_response_complete()

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response("Invalid HTTP request received.")
                return
            self._parse_again(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self.send_400_response("Invalid HTTP request received.")

    def _parse_again(self, remainder: bytes) -> None:
        """Give the request to a new parser without its Upgrade, because the first parser stopped at the head."""
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b" % pair for pair in self.headers if pair[0] not in (b"upgrade", b"http2-settings")]
        self.parser = httptools.HttpRequestParser(self)
        self._parse(b"\r\n".join((*lines, b"", b"")) + remainder)

    def _watch(self, request: WorkerRequest) -> None:
        """Give the request up when its client closes the connection."""
        if self.transport.is_closing():
            self.loop.call_soon(self._dispatcher.give_up, request)
            return
        self._requests.add(request)
        request.answer.add_done_callback(lambda _answer: self._requests.discard(request))

    def _expire(self) -> None:
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # the server does not read while it computes an earlier request of the connection
            self._clock = self.loop.call_later(self._dispatcher.limits.read_seconds, self._expire)
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(TIMEOUT)
        self.transport.close()

    def _drop(self) -> None:
        log.info("a client did not read its answer in time")
        self.transport.abort()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


Factory = Callable[[], BoundedProtocol]
