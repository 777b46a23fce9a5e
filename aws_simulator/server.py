"""Start ministack with IAM enforced, with the plug-ins and the controls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aws_simulator.endpoint_server import ServerFactory
from aws_simulator.permissions.callers import for_own_user

ACCOUNT = "123456789012"
REGION = "us-east-1"
KEEP = b"keep"


@dataclass(frozen=True)
class Equipment:
    """The parts of the simulated AWS that can be configured.

    ``folder``: contains all files. ``removes_folder``: remove it at the end, even after a kill. ``locks``: pip lists;
    builds find their versions installed. ``is_shared``: other users of this machine may call.
    """

    folder: Path
    removes_folder: bool
    endpoint_server: ServerFactory
    locks: Path | None
    is_shared: bool = True


def serve(port: int, leashed: bool, equipment: Equipment) -> None:
    """Serve until told to end. ``leashed``: end also when standard input closes, because the parent has ended.

    If the parent has written "keep" before, continue. Print one line of JSON, {"url": …}, as soon as the server
    answers.
    """
    listener = socket.create_server(("127.0.0.1", port))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    equipment.folder.mkdir(parents=True, exist_ok=True)
    _set_environment(equipment.folder, listener.getsockname()[1])
    from aws_simulator.simulator import Simulator

    simulator = Simulator(equipment.folder, url, equipment.endpoint_server, equipment.locks, equipment.removes_folder)
    try:
        simulator.install()
        asyncio.run(_serve(simulator, listener, url, leashed, equipment.is_shared))
    finally:
        simulator.processes.close()


def _set_environment(folder: Path, port: int) -> None:
    """Return the variables that ministack reads when it is imported."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MINISTACK_"))]:
        del os.environ[name]
    os.environ.update(
        AUTH="true",
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        MINISTACK_ACCOUNT_ID=ACCOUNT,
        MINISTACK_REGION=REGION,
        MINISTACK_HOST="127.0.0.1",
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        PERSIST_STATE="0",
        S3_PERSIST="0",
        DOCKER_HOST=f"unix://{folder}/no-docker.sock",
        TMPDIR=str(folder),
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION=REGION,
        AWS_EC2_METADATA_DISABLED="true",
        no_proxy="*",
    )


async def _serve(simulator: Any, listener: socket.socket, url: str, leashed: bool, is_shared: bool) -> None:
    from hypercorn.asyncio import serve as hypercorn
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.graceful_timeout = 0.2
    config.keep_alive_timeout = 75
    config.loglevel = "WARNING"
    end, loop = asyncio.Event(), asyncio.get_running_loop()
    # An operation may call another service and wait for it, which needs a free thread.
    loop.set_default_executor(ThreadPoolExecutor(64))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end.set)
    if leashed:
        threading.Thread(target=_watch, args=(loop, end), daemon=True).start()
    announcing = asyncio.create_task(_announce(url))
    front = _front(simulator)
    await hypercorn(front if is_shared else for_own_user(front), config, shutdown_trigger=end.wait)  # type: ignore[arg-type]
    announcing.cancel()


def _watch(loop: asyncio.AbstractEventLoop, end: asyncio.Event) -> None:
    if sys.stdin.buffer.read().strip() == KEEP:
        return
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(end.set)


async def _announce(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            break
        await asyncio.sleep(0.01)
    print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)


def _front(simulator: Any) -> Callable[..., Awaitable[None]]:
    """Put what policies see as TLS (aws:SecureTransport) and the controls in front of ministack."""
    from ministack.app import app

    async def front(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/_simulator/"):
            await _control(simulator, scope, receive, send)
            return
        if scope["type"] == "http" and (refusal := simulator.throttle.answer(scope["headers"])):
            await _read(receive)
            await _respond(send, *refusal)
            return
        if scope["type"] == "http" and not any(name == b"x-forwarded-proto" for name, _ in scope["headers"]):
            scope = {**scope, "headers": [*scope["headers"], (b"x-forwarded-proto", b"https")]}
        await app(scope, receive, _dated(send, simulator.ahead) if simulator.ahead else send)

    return front


def _dated(send: Any, ahead: float) -> Any:
    """Date the responses with a clock that is ``ahead`` seconds ahead of this machine's."""

    async def dated(message: Any) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"date"]
            date = formatdate(time.time() + ahead, usegmt=True).encode()
            message = {**message, "headers": [*kept, (b"date", date)]}
        await send(message)

    return dated


async def _control(simulator: Any, scope: Any, receive: Any, send: Any) -> None:
    body = await _read(receive)
    act = simulator.controls.get(scope["path"].removeprefix("/_simulator/"))
    status, answer = 404, f"There is no such control; there are: {', '.join(sorted(simulator.controls))}."
    if act is not None:
        try:
            status, answer = 200, await asyncio.to_thread(act, json.loads(body or b"{}"))
        except Exception as error:  # noqa: BLE001 (whatever it is, the caller sees it)
            status, answer = 400, repr(error)
    await _respond(send, status, {"Content-Type": "application/json"}, json.dumps(answer, default=str).encode())


async def _read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def _respond(send: Any, status: int, headers: dict[str, str], body: bytes) -> None:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": body})
