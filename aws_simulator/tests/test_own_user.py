"""The simulated AWS of one user refuses requests of other users."""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aws_simulator.fixture import Aws, start, stop
from aws_simulator.permissions import callers
from aws_simulator.permissions.callers import for_own_user, user_of

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell whose a connection is")


@pytest.fixture
def connection() -> Iterator[tuple[tuple[str, int], tuple[str, int]]]:
    """Return both ends of a connection from this process to itself."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        yield client.getsockname(), listener.getsockname()


@LINUX_ONLY
def test_the_kernel_gives_the_user_of_a_connection(connection: Any) -> None:
    client, server = connection
    assert user_of(client, server) == os.geteuid()
    assert user_of(("127.0.0.1", 1), server) is None


@LINUX_ONLY
def test_a_closed_connection_does_not_count_as_roots() -> None:
    """A stranger's request is refused although its sender closes the connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, ends = listener.accept()[0], (client.getsockname(), listener.getsockname())
        with accepted:
            assert user_of(*ends) == os.geteuid()
            client.close()
            assert user_of(*ends) is None
            assert answered([], ends) == 403
        assert user_of(*ends) is None


@LINUX_ONLY
@pytest.mark.skipif(not Path("/proc/net/tcp6").exists(), reason="no IPv6")
def test_an_ipv6_socket_with_an_ipv4_address_is_known() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET6) as client,
    ):
        try:
            client.connect(("::ffff:127.0.0.1", listener.getsockname()[1]))
        except OSError as error:
            pytest.skip(f"no IPv6: {error}")
        assert user_of(("127.0.0.1", client.getsockname()[1]), listener.getsockname()) == os.geteuid()


def answered(headers: list[tuple[bytes, bytes]], connection: Any) -> int:
    """Return the status of the response to a request on the connection."""
    sent: list[dict[str, Any]] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": headers, "client": connection[0], "server": connection[1]}
    asyncio.run(for_own_user(app)(scope, None, send))
    return int(sent[0]["status"])


@LINUX_ONLY
def test_another_user_is_refused(connection: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answered([], connection) == 200
    own = os.geteuid()
    monkeypatch.setattr(callers, "ROOT", own + 2)
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    assert answered([], connection) == 403
    monkeypatch.setattr(callers, "ROOT", own)
    assert answered([], connection) == 200, "root may do everything anyway"


@pytest.mark.parametrize("header", [(b"origin", b"https://page.example"), (b"sec-fetch-site", b"cross-site")])
def test_a_web_page_is_refused(connection: Any, header: tuple[bytes, bytes]) -> None:
    assert answered([header], connection) == 403


def test_only_the_own_user_may_call(tmp_path: Path) -> None:
    aws = start(tmp_path, "--own-user")
    try:
        assert aws.client("s3").list_buckets()["Buckets"] == []
        assert aws.control("permissions") == []
        if os.geteuid() == 0 and sys.platform == "linux":
            assert status_for_nobody(aws) == 403
        address = urlsplit(aws.url)
        page = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
        page.request("POST", "/_ministack/reset", "{}", {"Origin": "https://page.example"})
        assert page.getresponse().status == 403
    finally:
        stop(aws)


def status_for_nobody(aws: Aws) -> int:
    """Return the status of the response to a process of another user."""
    address = urlsplit(aws.url)
    pid = os.fork()
    if not pid:
        status = 0
        try:
            os.setuid(65534)
            stranger = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
            stranger.request("POST", "/_simulator/administrator", '{"name": "stranger"}')
            status = stranger.getresponse().status
        finally:
            os._exit(status - 256 if status else 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) + 256
