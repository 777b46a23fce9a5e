"""The HTTP contract: the container's routes and SageMaker's, with headers, errors and limits."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_cli.serving.control import LocalEndpoint, ServerState
from mlops_cli.serving.control_files import Limits
from tests.conftest import LIMIT_SECONDS, wait_for

NAME = "dev-comments"
AWS = f"/endpoints/{NAME}/invocations"
LIMIT = 6_291_456


def test_ping_answers_200_and_the_digest(running: LocalEndpoint, client: Any, packages: Any) -> None:
    answer = client.ask("GET", "/ping")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["x-amzn-sagemaker-custom-attributes"] == f"model-digest={packages('text-0').digest}"


@pytest.mark.parametrize("path", ["/invocations", AWS])
def test_an_invocation_passes_both_handlers_and_the_model(client: Any, path: str) -> None:
    answer = client.ask("POST", path, {"instances": ["one", "two"]})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-amzn-invoked-production-variant"] == "AllTraffic"
    assert re.fullmatch(r"[0-9a-f-]{36}", answer.headers["x-amzn-requestid"])
    first, second = answer.json()["predictions"]
    assert list(first) == [f"label_{i}" for i in range(6)]
    assert first["label_1"] == pytest.approx(first["label_0"] + 0.01)
    assert first != second


def test_the_containers_route_passes_a_handlers_error_on(client: Any) -> None:
    answer = client.ask("POST", "/invocations", b"no json", {"Content-Type": "application/json"})
    assert answer.status == 400
    assert answer.json() == {"title": "400 Bad Request", "description": "no instances"}
    answer = client.ask("POST", "/invocations", b"a,b", {"Content-Type": "text/csv"})
    assert answer.status == 415


def test_sagemakers_route_wraps_a_handlers_error(client: Any) -> None:
    answer = client.ask("POST", AWS, b"no json", {"Content-Type": "application/json"})
    assert answer.status == 424
    assert answer.headers["x-amzn-errortype"] == "ModelError"
    error = answer.json()
    assert error["OriginalStatusCode"] == 400
    assert json.loads(error["OriginalMessage"])["description"] == "no instances"
    assert error["Message"].startswith("Received client error (400) from primary with message")


def test_a_bug_in_a_handler_is_a_500_and_logged(running: LocalEndpoint, client: Any) -> None:
    answer = client.ask("POST", "/invocations", {"instances": ["bug"]})
    assert (answer.status, answer.json()) == (500, {"error": "'a bug in the handler'"})
    wrapped = client.ask("POST", AWS, {"instances": ["bug"]})
    assert (wrapped.status, wrapped.json()["OriginalStatusCode"]) == (424, 500)
    wait_for(lambda: 'KeyError: "a bug' in running.status().log.read_text().replace("'", '"'))


def test_a_handler_that_exits_does_not_end_the_server(client: Any) -> None:
    answer = client.ask("POST", "/invocations", {"instances": ["exit"]})
    assert answer.status == 500
    assert "exit: 4" in answer.json()["error"]
    assert client.predict("x")


def test_an_input_that_the_model_refuses_is_a_400(client: Any) -> None:
    assert client.ask("POST", "/invocations", {"instances": [1, 2]}).status == 400
    failing = client.ask("POST", "/invocations", {"instances": ["fail"]})
    assert failing.status == 400
    assert "this text fails" in failing.json()["description"]


def test_another_endpoints_name_is_a_validation_error(client: Any) -> None:
    answer = client.ask("POST", "/endpoints/other/invocations", {"instances": ["x"]})
    assert answer.status == 400
    assert answer.headers["x-amzn-errortype"] == "ValidationError"
    assert answer.json() == {"Message": "Endpoint other of account 000000000000 not found."}


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/invocations", 405), ("GET", AWS, 405), ("POST", "/nowhere", 404)]
)
def test_unknown_routes_and_methods(client: Any, method: str, path: str, status: int) -> None:
    assert client.ask(method, path).status == status


def test_the_largest_body_is_taken_and_one_byte_more_is_not(client: Any) -> None:
    frame = len(json.dumps({"instances": [""]}))
    largest = {"instances": ["x" * (LIMIT - frame)]}
    assert client.ask("POST", "/invocations", largest).status == 200
    refused = client.ask("POST", "/invocations", {"instances": ["x" * (LIMIT - frame + 1)]})
    assert refused.status == 413
    assert str(LIMIT) in refused.json()["description"]
    assert client.ask("POST", "/invocations", {"instances": ["x"]}).status == 200, "the connection lives on"


def test_a_chunked_body_is_bounded_while_it_is_read(client: Any) -> None:
    def chunks(count: int) -> Iterator[bytes]:
        yield b'{"instances": ["'
        for _ in range(count):
            yield b"x" * 65_536
        yield b'"]}'

    json_type = {"Content-Type": "application/json"}
    accepted = client.ask("POST", "/invocations", chunks(90), json_type, encode_chunked=True)
    assert accepted.status == 200
    refused = client.ask("POST", AWS, chunks(100), json_type, encode_chunked=True)
    assert refused.status == 413
    assert refused.headers["x-amzn-errortype"] == "ValidationError"


def test_an_announced_giant_is_refused_before_it_is_sent(running: LocalEndpoint) -> None:
    with raw(running) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{")
        assert connection.recv(4096).startswith(b"HTTP/1.1 413")


GARBAGE = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe\x00",
    b"[" * 200_000,
    b'{"a":' * 100_000,
    b'{"instances": ["\\ud800"]}',
    b'{"instances": [1e999, NaN]}',
    b'{"instances": [' + b"9" * 5000 + b"]}",
    b'{"instances": {"a": 1}}',
    b'{"instances": []}',
    b'{"instances": [["a"], "b"]}',
    b'{"instances": [{"b64": "***"}]}',
    b'{"instances": ["a", null]}',
    b'"instances"',
    b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"instances": ' + b"[" * 60 + b'"a"' + b"]" * 60 + b"}",
]


@pytest.mark.parametrize("path", ["/invocations", AWS, "/v1/models/model:predict"])
def test_garbage_is_answered_with_a_4xx(client: Any, path: str) -> None:
    generator = random.Random(7)
    bodies = [*GARBAGE, *(generator.randbytes(generator.randrange(1, 300)) for _ in range(60))]
    for body in bodies:
        answer = client.ask("POST", path, body, {"Content-Type": "application/json"})
        assert 400 <= answer.status < 500, (body[:60], answer)
    assert client.predict("still here")


def test_garbage_instead_of_http_closes_that_connection_only(running: LocalEndpoint, client: Any) -> None:
    generator = random.Random(8)
    for _ in range(20):
        with raw(running) as connection:
            connection.sendall(generator.randbytes(200) + b"\r\n\r\n")
            assert connection.recv(4096).startswith(b"HTTP/1.1 400")
    assert client.predict("still here")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /ping HTTP/1.1\r\n",
        b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\n0\r\n",
    ],
    ids=["head", "behind the body"],
)
def test_endless_headers_are_cut_off(running: LocalEndpoint, start: bytes) -> None:
    with raw(running) as connection, pytest.raises((ConnectionError, StopIteration)):
        connection.sendall(start)
        for _ in range(10_000):
            connection.sendall(b"X-Filler: " + b"y" * 1000 + b"\r\n")
        raise AssertionError("10 MB of headers were taken")


@pytest.mark.parametrize(
    "start",
    [b"POST /invocations HTTP/1.1\r\nHost:", b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"],
    ids=["head", "body"],
)
def test_a_client_that_stalls_is_sent_away(
    make_endpoint: Any, packages: Callable[[str], Any], connect: Any, start: bytes
) -> None:
    endpoint = make_endpoint(Limits(read_seconds=0.3))
    package = packages("text-0")
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    with raw(endpoint) as connection:
        connection.sendall(start)
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")
        assert connection.recv(4096) == b""
    assert connect(endpoint).ask("GET", "/ping").status == 200


def test_a_request_that_takes_too_long_is_given_up(make_endpoint: Any, packages: Any, connect: Any) -> None:
    endpoint = make_endpoint(Limits(request_seconds=0.5))
    package = packages("text-0")
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    answer = connect(endpoint).ask("POST", AWS, {"instances": ["sleep 1.2"]})
    assert (answer.status, answer.json()["OriginalStatusCode"]) == (424, 0)
    assert "timed out" in answer.json()["OriginalMessage"]


def test_a_full_queue_answers_503_with_retry_after(
    make_endpoint: Any, packages: Any, connect: Any, tmp_path: Path
) -> None:
    endpoint = make_endpoint(Limits(waiting_requests=2))
    package = packages("text-0")
    endpoint.deploy(package.path, package.digest, LIMIT_SECONDS)
    busy = [connect(endpoint) for _ in range(2)]
    body = json.dumps({"instances": [f"wait for {tmp_path / 'over'}"]})
    for entry in busy:
        entry.connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    third = connect(endpoint)

    def refused() -> Any:
        answer = third.ask("POST", AWS, {"instances": ["x"]})
        return answer if answer.status == 503 else None

    answer = wait_for(refused)
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["x-amzn-errortype"] == "ServiceUnavailable"
    assert third.ask("POST", "/invocations", {"instances": ["x"]}).status == 503
    assert third.ask("GET", "/ping").status == 200, "a busy server still answers its health check"
    (tmp_path / "over").touch()
    for entry in busy:
        assert entry.connection.getresponse().status == 200
    assert third.predict("x")


def test_it_listens_on_loopback_only(running: LocalEndpoint) -> None:
    port = urlsplit(running.status().url).port
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; names the address of this machine's other interface
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has no other address")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, port), timeout=LIMIT_SECONDS)


def test_the_shared_server_survived_all_this(running: LocalEndpoint) -> None:
    assert running.status().state is ServerState.IN_SERVICE


def raw(endpoint: LocalEndpoint) -> socket.socket:
    parts = urlsplit(endpoint.status().url)
    return socket.create_connection((str(parts.hostname), parts.port), timeout=LIMIT_SECONDS)
