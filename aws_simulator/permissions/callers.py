"""The allowed callers: processes of the user who started the simulated AWS, but no web page in that user's browser.

Every process on the machine can reach 127.0.0.1, and the keys of the account's owner are not secret. Without this
check, any caller could read the secrets of a rehearsal and run jobs as its user.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

App = Callable[[Any, Any, Any], Awaitable[None]]
TABLES = {socket.AF_INET: Path("/proc/net/tcp"), socket.AF_INET6: Path("/proc/net/tcp6")}
ROOT = 0
CLOSED = "0"  # a socket without a process has this inode, and the user 0, which is also root's
REFUSED = {"message": "This simulated AWS answers to the processes of the user who started it, and to no web page."}


def for_own_user(app: App) -> App:
    """Refuse all other users. If the system does not report a connection's user (macOS), refuse only web pages."""
    allowed = {os.geteuid(), ROOT}
    knows_users = TABLES[socket.AF_INET].exists()

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
        elif is_of_web_page(scope) or (knows_users and user_of(scope["client"], scope["server"]) not in allowed):
            await _refuse(scope, send)
        else:
            await app(scope, receive, send)

    return guard


def is_of_web_page(scope: Any) -> bool:
    """Return True for a request that a browser has sent for a page. Every browser marks such requests."""
    return any(name in (b"origin", b"sec-fetch-site") for name, _ in scope["headers"])


def user_of(client: tuple[str, int], server: tuple[str, int]) -> int | None:
    """Return the user of the client's socket of a connection on this machine; None if the client has closed it."""
    for family, table in TABLES.items():
        ends = f" {_end(family, *client)} {_end(family, *server)} "
        _, _, after = _connections(table).partition(ends)
        if after:
            fields = after.split(maxsplit=7)
            return int(fields[4]) if fields[6] != CLOSED else None
    return None


def _connections(table: Path) -> str:
    try:
        return table.read_text(encoding="ascii")
    except FileNotFoundError:  # no IPv6
        return ""


def _end(family: socket.AddressFamily, host: str, port: int) -> str:
    """Return one end of a connection as the kernel lists it. An IPv6 socket lists an IPv4 address in another form."""
    packed = socket.inet_pton(socket.AF_INET, host)
    if family == socket.AF_INET6:
        packed = bytes(10) + b"\xff\xff" + packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


async def _refuse(scope: Any, send: Any) -> None:
    if scope["type"] != "http":
        await send({"type": "websocket.close"})
        return
    await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(REFUSED).encode()})
