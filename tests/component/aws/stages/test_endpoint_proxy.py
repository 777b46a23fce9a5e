"""The loopback server in front of the endpoint."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest

from mlops_cli.backends.aws.stages.endpoint_proxy import endpoint_proxy
from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import MlopsError


def echo(body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
    return InvocationResponse(200, content_type.encode() + b" " + body, 0.0), "text/csv"


def ask(url: str, body: bytes = b"a,b") -> http.client.HTTPResponse:
    return urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": "text/csv"}))


def test_an_answer_passes_with_the_digest_of_what_is_live() -> None:
    with endpoint_proxy(echo, "abc") as url, ask(url) as answer:
        assert (answer.status, answer.read()) == (200, b"text/csv a,b")
        assert answer.headers["Content-Type"] == "text/csv"
        assert answer.headers["X-Amzn-SageMaker-Custom-Attributes"] == "model-digest=abc"


def test_a_refusal_of_the_model_passes_as_such() -> None:
    refused = (InvocationResponse(400, b"no texts", 0.0), "application/json")
    with endpoint_proxy(lambda *_: refused, "abc") as url, pytest.raises(urllib.error.HTTPError) as caught:
        ask(url)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (400, b"no texts")


def test_what_keeps_the_endpoint_from_answering_is_reported() -> None:
    def fails(body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
        raise MlopsError("There is no endpoint tiny-dev.")

    with endpoint_proxy(fails, "") as url, pytest.raises(urllib.error.HTTPError) as caught:
        ask(url)
    with caught.value as answer:
        assert (answer.code, answer.read()) == (502, b"There is no endpoint tiny-dev.")


def test_a_connection_is_kept_for_the_next_request() -> None:
    with endpoint_proxy(echo, "abc") as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        for _ in range(3):
            connection.request("POST", "/invocations", b"x")
            assert connection.getresponse().read() == b"application/json x"
        connection.close()


def test_it_is_gone_afterwards() -> None:
    with endpoint_proxy(echo, "abc") as url:
        pass
    with pytest.raises(urllib.error.URLError):
        ask(url)
