"""Too many connections, and clients that send or read slowly: each request gets its response."""

from __future__ import annotations

import json
import resource
import shutil
import socket
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_cli.backends.local.server_processes import LocalServerProcesses
from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.control_files import Limits
from tests.component.serving.conftest import stopped
from tests.conftest import LIMIT_SECONDS, wait_for

HEAD = b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"instances": ["x"]}'
REQUEST = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
SLOW = {"idle": b"", "in its head": HEAD + b"X-a: ", "in its body": HEAD + b"Content-Length: 90\r\n\r\n{"}

CALLS_ITS_MODEL = """
import urllib.request

def handler(data, context):
    request = urllib.request.Request(context.rest_uri, data.read(), {"Content-Type": "application/json"})
    return urllib.request.urlopen(request, timeout=60).read(), "application/json"
"""


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: Any, packages: Any) -> Iterator[LocalEndpoint]:
    """Provide an endpoint that accepts thirty connections."""
    folder = tmp_path_factory.mktemp("crowded")
    endpoint = LocalEndpoint(folder, "dev-comments", LocalServerProcesses(folder), limits=Limits(connections=30))
    yield served(endpoint, packages("text-0"))
    endpoint.stop(10)


def served(endpoint: LocalEndpoint, package: Any) -> LocalEndpoint:
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    return endpoint


def address_of(endpoint: LocalEndpoint) -> tuple[str, int]:
    url = urlsplit(endpoint.status().url)
    return str(url.hostname), url.port or 0


def hold(address: tuple[str, int], count: int, start: bytes) -> list[socket.socket]:
    connections = []
    for _ in range(count):
        connections.append(socket.create_connection(address, timeout=LIMIT_SECONDS))
        connections[-1].sendall(start)  # at once: a connection without a request may be closed for the next one
    return connections


def close(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()


def is_answered(connection: socket.socket) -> bool:
    return connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def ask(connect: Any, endpoint: LocalEndpoint) -> int:
    return int(connect(endpoint).ask("POST", "/invocations", {"instances": ["x"]}).status)


@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "all at once"])
@pytest.mark.parametrize("start", SLOW.values(), ids=SLOW)
def test_connections_above_the_limit_block_no_request(
    crowded: LocalEndpoint, connect: Any, start: bytes, at_once: bool
) -> None:
    address = address_of(crowded)
    with stopped(crowded) if at_once else nullcontext():
        held = hold(address, 100, start)
    for _ in range(5):
        assert ask(connect, crowded) == 200
    assert len(list(Path(f"/proc/{crowded.status().pid}/fd").iterdir())) < 70
    close(held)


def test_more_requests_than_connections_are_answered_though_no_client_hangs_up(crowded: LocalEndpoint) -> None:
    address = address_of(crowded)
    with stopped(crowded):
        clients = hold(address, 90, REQUEST)
    for client in clients:
        assert is_answered(client)
    close(clients)


@pytest.mark.parametrize("flood", [b"", HEAD], ids=["idle", "in their heads"])
def test_a_request_that_has_been_sent_is_answered_though_newer_connections_come(
    crowded: LocalEndpoint, flood: bytes
) -> None:
    address = address_of(crowded)
    with stopped(crowded):
        clients = [*hold(address, 1, REQUEST), *hold(address, 200, flood)]
    assert is_answered(clients[0])
    close(clients)


def test_a_request_on_a_connection_that_was_idle_is_answered_though_newer_connections_come(
    crowded: LocalEndpoint,
) -> None:
    address = address_of(crowded)
    (client,) = hold(address, 1, REQUEST)
    assert is_answered(client)
    with stopped(crowded):
        client.sendall(REQUEST)
        held = hold(address, 200, b"")
    assert is_answered(client)
    close([client, *held])


def test_a_handler_reaches_its_own_model_though_every_connection_waits_for_it(
    make_endpoint: Any, packages: Any, package_of: Any, with_code: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "package"
    shutil.copytree(packages("plain").folder, folder)
    with_code(folder, CALLS_ITS_MODEL)
    endpoint = served(make_endpoint(Limits(connections=2)), package_of(folder))
    clients = hold(address_of(endpoint), 5, REQUEST)
    for client in clients:
        assert is_answered(client)
    close(clients)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit another process")
def test_without_a_file_for_a_connection_the_log_stays_small(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = served(make_endpoint(), packages("text-0"))
    status = endpoint.status()
    limits = resource.prlimit(status.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(status.pid, resource.RLIMIT_NOFILE, (8, limits[1]))
    held = hold(address_of(endpoint), 100, b"")
    wait_for(lambda: "no connection can be taken at present" in status.log.read_text())
    resource.prlimit(status.pid, resource.RLIMIT_NOFILE, limits)
    assert ask(connect, endpoint) == 200
    assert status.log.read_text().count("no connection can be taken at present") == 1
    close(held)


def test_a_client_that_does_not_read_its_answer_is_dropped(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = served(make_endpoint(Limits(write_seconds=0.3)), packages("plain"))
    body = json.dumps({"instances": ["x"] * 100_000}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(address_of(endpoint))
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: "a client did not read its answer" in endpoint.status().log.read_text())
        received = drained(connection)
    assert received < 5_000_000, "the whole answer was kept for it"
    assert ask(connect, endpoint) == 200


def drained(connection: socket.socket) -> int:
    """Return the number of bytes of the response before the server closed the connection."""
    connection.settimeout(LIMIT_SECONDS)
    size = 0
    try:
        while data := connection.recv(1 << 16):
            size += len(data)
    except ConnectionError:
        pass
    return size
