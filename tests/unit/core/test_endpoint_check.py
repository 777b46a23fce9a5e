"""The reason for a rejected request, read from the container's response."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import MlopsError
from mlops_cli.monitoring.endpoint_check import check_endpoint

PAGE = "<!doctype html>\n<html lang=en>\n<title>500 Internal\nServer Error</title>\n<h1>Internal Server Error</h1>"


@dataclass
class FakeEndpoint:
    """``answer``: returns status and body for instances. ``logged``: the exception in the log."""

    answer: Callable[[list[Any]], tuple[int, str]]
    logged: str = ""
    log_name: str = "server.log"

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse:
        status, text = self.answer(json.loads(body)["instances"])
        return InvocationResponse(status, text.encode(), 0.1)

    def failure(self, since: float) -> str:
        return self.logged


@pytest.mark.parametrize("body", [PAGE, json.dumps({"OriginalStatusCode": 500, "OriginalMessage": PAGE})])
def test_of_a_page_only_its_title_is_shown(body: str) -> None:
    with pytest.raises(MlopsError) as caught:
        check_endpoint(FakeEndpoint(lambda instances: (424, body)), ["a"])
    assert caught.value.message == 'The endpoint refused input 1, "a" (424): 500 Internal Server Error'
    assert caught.value.hint == "Check what you sent, and the endpoint's log: server.log"


@pytest.mark.parametrize(
    ("instances", "shown"),
    [
        (["a", "b", "bad", "c", "bad"], 'input 3, "bad" (500)'),
        (["bad"] * 3, 'input 1, "bad" (500)'),
        (["a"] * 6 + ["bad"], 'input 7, "bad" (500)'),
        (["bad" * 50], f'input 1, "{"bad" * 50}'[:89] + "… (152 characters) (500)"),
    ],
)
def test_the_first_refused_input_is_named_with_the_exception_in_the_log(instances: list[str], shown: str) -> None:
    endpoint = FakeEndpoint(lambda sent: (500, PAGE) if any("bad" in each for each in sent) else (200, "{}"))
    endpoint.logged = "KeyError: 'price' (code/inference.py, line 3, in input_fn)"
    with pytest.raises(MlopsError) as caught:
        check_endpoint(endpoint, instances)
    assert caught.value.message == f"The endpoint refused {shown}: {endpoint.logged}"


def test_inputs_that_are_only_refused_together_are_a_request() -> None:
    endpoint = FakeEndpoint(lambda sent: (500, PAGE) if len(sent) > 3 else (200, "{}"))
    with pytest.raises(MlopsError, match=r"^The endpoint refused the request \(500\): 500 Internal Server Error$"):
        check_endpoint(endpoint, ["a"] * 5)


@pytest.mark.parametrize("status", [400, 415])
@pytest.mark.parametrize("is_wrapped", [True, False])
def test_a_refusal_of_the_handlers_is_not_looked_for_in_the_log(status: int, is_wrapped: bool) -> None:
    fields: dict[str, Any] = {"OriginalStatusCode": status, "OriginalMessage": "no price"}
    answer = (424, json.dumps(fields)) if is_wrapped else (status, json.dumps({"error": "no price"}))
    endpoint = FakeEndpoint(lambda sent: answer, "of another request")
    with pytest.raises(MlopsError) as caught:
        check_endpoint(endpoint, ["a"])
    assert caught.value.message == f'The endpoint refused input 1, "a" ({answer[0]}): no price'
