"""uvicorn's HTTP protocol with bounds on the size and duration of a request."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65_536
TIMEOUT = (
    b"HTTP/1.1 408 Request Timeout\r\ncontent-type: application/json\r\ncontent-length: 28\r\n"
    b'connection: close\r\n\r\n{"title": "Request Timeout"}'
)


class BoundedProtocol(HttpToolsProtocol):
    """Answer 408 to a request that is not complete in time, 400 to an endless head."""

    read_seconds: float = 30.0
    _clock: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._clock = self.loop.call_later(self.timeout_keep_alive, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response("Request header too large.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0
        # Requests of clients that have hung up are not computed (see http_api.py).
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["extensions"] = {"mlops.is_closing": self.transport.is_closing}
        self._stop_clock()
        self._clock = self.loop.call_later(self.read_seconds, self._expire)

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_clock()
        super().on_message_complete()

    def _expire(self) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or not self.cycle.response_started or self.cycle.response_complete:
            self.transport.write(TIMEOUT)
        self.transport.close()

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
