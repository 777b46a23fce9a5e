"""Requests of clients in other languages, of SageMaker, and of attackers."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

import pytest

from mlops_cli.serving.control import LocalEndpoint
from mlops_cli.serving.http.allowed_callers import is_own_name, objection
from mlops_cli.serving.http.routes import Request
from tests.component.serving.conftest import stopped
from tests.conftest import LIMIT_SECONDS

AWS = "/endpoints/dev-comments/invocations"
MODEL = "/v1/models/model:predict"
BODY = json.dumps({"instances": ["You are kind."]}).encode()
JSON_TYPE = {"Content-Type": "application/json"}
UPGRADE = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQ\r\n"
CHUNKED = b"5\r\n" + BODY[:5] + b"\r\n" + f"{len(BODY) - 5:x}\r\n".encode() + BODY[5:] + b"\r\n0\r\n\r\n"


def exchange(endpoint: LocalEndpoint, *parts: bytes, finish: bool = False) -> bytes:
    """Send the parts.

    Return everything that is received until the connection ends. ``finish``: end the sending side at the same time.
    """
    address = urlsplit(endpoint.status().url)
    with socket.create_connection((str(address.hostname), address.port), timeout=LIMIT_SECONDS) as connection:
        with stopped(endpoint) if finish else nullcontext():
            for part in parts:
                connection.sendall(part)
            if finish:
                connection.shutdown(socket.SHUT_WR)
        answer = b""
        while data := connection.recv(65_536):
            answer += data
    return answer


def head(start: str, *lines: str, host: str = "localhost") -> bytes:
    return "\r\n".join((start, f"Host: {host}", *lines, "", "")).encode("latin-1")


def post(path: str, *lines: str, body: bytes = BODY, host: str = "localhost") -> bytes:
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", *lines)
    return head(f"POST {path} HTTP/1.1", *fields, host=host) + body


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("path", ["/invocations", AWS, MODEL])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("whole", [True, False])
def test_an_upgrade_to_http_2_is_ignored(running: LocalEndpoint, path: str, chunked: bool, whole: bool) -> None:
    framing = "Transfer-Encoding: chunked\r\n" if chunked else f"Content-Length: {len(BODY)}\r\n"
    start = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{UPGRADE}{framing}\r\n".encode()
    )
    body = CHUNKED if chunked else BODY
    response = head("GET /ping HTTP/1.1", "Connection: close")
    parts = [start + body + response] if whole else [start[:40], start[40:], body[:3], body[3:], response]
    answer = exchange(running, *parts)
    assert answer.count(b"HTTP/1.1 200") == 2, answer


@pytest.mark.parametrize("path", ["/invocations", AWS, MODEL])
@pytest.mark.parametrize("start", ["Content-Length", "Transfer-Encoding", "HTTP/1.0"])
def test_a_client_that_closes_its_sending_side_is_answered(running: LocalEndpoint, path: str, start: str) -> None:
    version = "HTTP/1.0" if start == "HTTP/1.0" else "HTTP/1.1"
    framing = "Transfer-Encoding: chunked" if start == "Transfer-Encoding" else f"Content-Length: {len(BODY)}"
    body = CHUNKED if start == "Transfer-Encoding" else BODY
    request = head(f"POST {path} {version}", "Content-Type: application/json", framing) + body
    answer = exchange(running, request, finish=True)
    assert status_of(answer) == 200 and b"predictions" in answer
    assert b"connection: close\r\n" in answer.lower()


def test_all_requests_of_a_client_that_closes_its_sending_side_are_answered(running: LocalEndpoint) -> None:
    requests = head("GET /ping HTTP/1.1") + post("/invocations").replace(b"Connection: close", b"X: x") * 3
    answer = exchange(running, requests, finish=True)
    assert answer.count(b"HTTP/1.1 200") == 4 and answer.lower().count(b"connection: close") == 1


def test_a_websocket_handshake_is_an_ordinary_request(running: LocalEndpoint) -> None:
    fields = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13")
    answer = exchange(running, head("GET /ping HTTP/1.1", *fields), finish=True)
    assert status_of(answer) == 200


@pytest.mark.parametrize("path", ["/invocations", AWS, MODEL])
def test_a_gzipped_body_is_unpacked(client: Any, path: str) -> None:
    for body in (gzip.compress(BODY), gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])):
        answer = client.ask("POST", path, body, {**JSON_TYPE, "Content-Encoding": "GZip"})
        assert answer.status == 200, answer


@pytest.mark.parametrize(
    ("body", "coding", "status"),
    [
        (gzip.compress(BODY)[:-3], "gzip", 400),
        (BODY, "gzip", 400),
        (gzip.compress(BODY) + b"rest", "gzip", 400),
        (gzip.compress(bytes(6_291_457)), "gzip", 413),
        (gzip.compress(bytes(100_000_000)), "gzip", 413),
        (BODY, "br", 415),
        (BODY, "gzip, gzip", 415),
        (BODY, "identity", 200),
        (BODY, "", 200),
        (gzip.compress(BODY), "identity, gzip", 200),
        (gzip.compress(BODY), "gzip,", 200),
        (gzip.compress(BODY), " X-GZIP ", 200),
        (BODY, "deflate", 415),
        (BODY, "zstd", 415),
    ],
)
def test_other_codings_are_refused_by_name(client: Any, body: bytes, coding: str, status: int) -> None:
    answer = client.ask("POST", AWS, body, {**JSON_TYPE, "Content-Encoding": coding})
    assert answer.status == status
    if status == 415:
        assert coding in answer.json()["Message"] and answer.headers["accept-encoding"] == "gzip, identity"
    assert client.predict("still here")


def test_continue_is_reported_before_the_body_comes(running: LocalEndpoint) -> None:
    fields = ("Content-Type: application/json", f"Content-Length: {len(BODY)}", "Expect: 100-continue")
    address = urlsplit(running.status().url)
    with socket.create_connection((str(address.hostname), address.port), timeout=LIMIT_SECONDS) as connection:
        connection.sendall(head("POST /invocations HTTP/1.1", *fields, "Connection: close"))
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY)
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    too_large = exchange(
        running, head("POST /invocations HTTP/1.1", "Content-Length: 99999999", "Expect: 100-continue")
    )
    assert status_of(too_large) == 413


def test_head_has_no_body_and_the_connection_lives_on(client: Any) -> None:
    answer = client.ask("HEAD", "/ping")
    assert (answer.status, answer.body) == (200, b"")
    refused = client.ask("HEAD", "/invocations")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert client.predict("still here")


def test_two_hundred_requests_at_once_on_one_connection_are_answered_in_order(running: LocalEndpoint) -> None:
    texts = [json.dumps({"instances": [f"text {number}"]}).encode() for number in range(200)]
    requests = [
        head("POST /invocations HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(text)}") + text
        for text in texts
    ]
    last = head("GET /ping HTTP/1.1", "Connection: close")
    answer = exchange(running, b"".join((*requests, last)))
    assert answer.count(b"HTTP/1.1 200") == 201


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_content_type_may_have_parameters(client: Any, content_type: str) -> None:
    answer = client.ask("POST", "/invocations", BODY, {"Content-Type": content_type.lower()})
    assert answer.status == 200
    plain = client.ask("POST", MODEL, BODY, {"Content-Type": content_type})
    assert plain.status == 200


def test_letters_of_all_alphabets_pass(client: Any) -> None:
    texts = ["Grüße", "你好", "🙂", "\u2028", "e\u0301"]
    rows = [client.predict(text)[0] for text in texts]
    assert client.predict(*texts) == [pytest.approx(row) for row in rows]


ODD = {
    "HTTP/0.9": b"GET /ping\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3": b"GET /ping HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + bytes(500),
    "a NUL in the URL": b"GET /ping\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "length -1": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "length abc": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: abc\r\n\r\n",
    "length +5": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\n",
    "length 1, 2": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1, 2\r\n\r\n",
    "length of 23 digits": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    + b"9" * 23
    + b"\r\n\r\n",
    "two lengths": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no chunk size": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "another coding": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a second coding": b"POST /invocations HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKED,
    "a NUL in a header": b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n",
    "a URL of 100 kB": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "1,000 headers": b"GET /ping HTTP/1.1\r\nHost: localhost\r\n" + b"X: 1\r\n" * 1000 + b"\r\n",
    "a header of 1 MB": b"GET /ping HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", ODD.values(), ids=ODD)
def test_an_invalid_request_gets_a_400_and_affects_no_other_client(
    running: LocalEndpoint, client: Any, request_bytes: bytes
) -> None:
    try:
        answer = exchange(running, request_bytes, finish=True)
    except OSError:  # the server had closed while this was being sent
        answer = b"HTTP/1.1 400"
    assert answer.startswith(b"HTTP/1.1 400"), answer
    assert client.predict("still here")


LONG = b"x" * 100_000


@pytest.mark.parametrize("chunks", [b"5;" + LONG + b"\r\nabcde\r\n0\r\n\r\n", b"0\r\nX: " + LONG + b"\r\n\r\n"])
def test_a_long_chunk_extension_or_trailer_affects_no_other_client(
    running: LocalEndpoint, client: Any, chunks: bytes
) -> None:
    fields = ("Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close")
    assert status_of(exchange(running, head("POST /invocations HTTP/1.1", *fields) + chunks)) == 400
    assert client.predict("still here")


def test_a_field_behind_the_body_is_no_header(running: LocalEndpoint) -> None:
    fields = ("Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close")
    for trailer in (b"Content-Encoding: gzip", b"Host: evil.example", b"Origin: https://evil.example"):
        request = head("POST /invocations HTTP/1.1", *fields) + CHUNKED.removesuffix(b"\r\n") + trailer + b"\r\n\r\n"
        assert status_of(exchange(running, request)) == 200, trailer


NAMES = ("dev-comments%00", "a%0d%0aX-Evil:%201", "%2e%2e%2f%2e%2e%2fetc", "..", "a" * 3000)


@pytest.mark.parametrize("name", NAMES)
def test_an_odd_name_is_another_endpoint_s(running: LocalEndpoint, name: str) -> None:
    answer = exchange(running, post(f"/endpoints/{name}/invocations"))
    start, _, _ = answer.partition(b"\r\n\r\n")
    assert status_of(answer) in (400, 404) and b"x-evil" not in start.lower()


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/%2e%2e/etc/passwd", "http://localhost/etc/passwd", "*"])
def test_a_path_is_never_one_of_a_file_or_another_site(running: LocalEndpoint, path: str) -> None:
    answer = exchange(running, head(f"GET {path} HTTP/1.1", "Connection: close"))
    assert status_of(answer) in (400, 404) and b"root:" not in answer


def test_bytes_after_a_body_are_not_a_part_of_it(running: LocalEndpoint, client: Any) -> None:
    fields = ("Content-Type: application/json", "Content-Length: 10")
    answer = exchange(running, head("POST /invocations HTTP/1.1", *fields) + BODY)
    assert status_of(answer) == 400 and b"predictions" not in answer
    assert client.predict("still here")


def test_a_body_that_ends_early_is_not_computed(running: LocalEndpoint, client: Any) -> None:
    fields = ("Content-Type: application/json", f"Content-Length: {len(BODY) + 10}")
    assert b" 200 " not in exchange(running, head("POST /invocations HTTP/1.1", *fields) + BODY, finish=True)
    assert client.predict("still here")


OWN = ("localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:9", "127.1.2.3", "[::1]:8080", "app.localhost", "model")
FOREIGN = (
    "evil.example",
    "evil.example:8080",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "evil.example#localhost",
    "localhost, evil.example",
    "192.0.2.1",
    "[::2]",
    "",
    ":80",
)


@pytest.mark.parametrize("host", OWN)
def test_the_own_names_are_answered(running: LocalEndpoint, host: str) -> None:
    assert status_of(exchange(running, post("/invocations", host=host))) == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/invocations", AWS, MODEL])
def test_a_rebound_name_is_refused(running: LocalEndpoint, host: str, path: str) -> None:
    answer = exchange(running, post(path, host=host))
    assert status_of(answer) == 403 and b"predictions" not in answer


@pytest.mark.parametrize(
    "fields",
    [
        ("Origin: http://evil.example",),
        ("Origin: null",),
        ("Origin: http://localhost:3000",),
        ("Origin: http://model", "X-Host: model"),
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors"),
    ],
)
def test_web_pages_are_not_answered(running: LocalEndpoint, fields: tuple[str, ...]) -> None:
    host = "model" if "X-Host: model" in fields else "localhost"
    request = post("/invocations", *fields, host=host).replace(b"application/json", b"text/plain")
    answer = exchange(running, request)
    assert status_of(answer) == 403 and b"access-control" not in answer.lower()
    preflight = head(f"OPTIONS {AWS} HTTP/1.1", *fields, "Access-Control-Request-Method: POST", "Connection: close")
    assert b"access-control-allow" not in exchange(running, preflight).lower()


def test_the_address_in_a_browser_has_a_response(running: LocalEndpoint) -> None:
    answer = exchange(running, head("GET /ping HTTP/1.1", "Sec-Fetch-Site: none", "Connection: close"))
    assert status_of(answer) == 200


@pytest.mark.parametrize(
    ("host", "fields", "status"),
    [
        ("model.example.org", (), 200),
        ("MODEL.example.org.:443", (), 200),
        ("192.0.2.7", (), 200),
        ("other.example.org", (), 403),
        ("model.example.org.evil.example", (), 403),
        ("model.example.org", ("Origin: https://model.example.org", "Sec-Fetch-Site: same-origin"), 200),
        ("model.example.org", ("Origin: https://evil.example", "Sec-Fetch-Site: cross-site"), 403),
        ("localhost", ("Origin: https://model.example.org",), 403),
    ],
)
def test_a_name_that_its_owner_allows_is_answered(host: str, fields: tuple[str, ...], status: int) -> None:
    headers = [tuple(part.strip().lower().encode() for part in field.split(":", 1)) for field in fields]
    request = Request(
        {
            "method": "POST",
            "path": "/invocations",
            "query_string": b"",
            "http_version": "1.1",
            "extensions": {},
            "headers": [(b"host", host.encode()), *headers],
        },
        receive=None,  # type: ignore[arg-type]
    )
    problem = objection(request, "127.0.0.1", ("model.example.org", "192.0.2.7"))
    assert bool(problem) == (status == 403)
    assert "answer to the name" not in problem or "ENDPOINT_HOSTS" in problem


def test_a_public_address_answers_to_every_address_but_to_no_foreign_name() -> None:
    assert is_own_name("192.0.2.1:8080", "0.0.0.0") and is_own_name("[2001:db8::1]", "::")
    assert not is_own_name("evil.example", "0.0.0.0")
    assert is_own_name("192.0.2.1", "192.0.2.1") and not is_own_name("192.0.2.1", "::1")
