"""The HTTP server: it accepts connections and passes their requests to the app. It lives as long as the supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import time

import uvicorn
from uvicorn.server import ServerState

from mlops_cli.serving.http.connections import AcceptingSocket, Connections
from mlops_cli.serving.http.protocol import BoundedProtocol
from mlops_cli.serving.http.routes import App, Front
from mlops_cli.serving.supervision.worker_handle import Worker


class FrontServer:
    """``listen`` serves all clients. ``listen_for`` serves one worker's ``handler``, which calls its own model."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._state = ServerState()
        self._public: AcceptingSocket | None = None
        self._date = asyncio.create_task(self._keep_date())

    def listen(self, listener: socket.socket) -> None:
        """Accept connections on this socket. First close any other socket in use."""
        if self._public is not None and self._public.listener is not listener:
            self._public.close()
            self._public = None
        if self._public is None:
            self._public = self._accept(listener, None)

    def listen_for(self, worker: Worker, listener: socket.socket) -> AcceptingSocket:
        return self._accept(listener, worker)

    async def finish(self, seconds: float) -> None:
        """Accept no more connections. Answer the requests that have arrived, for at most ``seconds``."""
        if self._public is not None:
            await self._public.finish(seconds)
        self._date.cancel()

    def _accept(self, listener: socket.socket, worker: Worker | None) -> AcceptingSocket:
        limits = self._front.deployment.limits
        # Each socket has its own connections, so that requests that wait for a handler cannot block the handler's own
        # calls.
        connections = Connections(limits.connections)
        config = uvicorn.Config(
            App(self._front, worker),
            loop="none",
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=int(limits.keep_alive_seconds),
        )
        config.load()
        dispatcher = self._front.dispatcher
        return AcceptingSocket(
            listener,
            lambda: BoundedProtocol(config, self._state, connections, dispatcher),
            connections,
        )

    async def _keep_date(self) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            while True:
                date = email.utils.formatdate(time.time(), usegmt=True)
                self._state.default_headers = [(b"date", date.encode())]
                await asyncio.sleep(1)
