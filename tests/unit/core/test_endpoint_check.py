"""The reason of a refused request, from the answers of the containers."""

from __future__ import annotations

import json

import pytest

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import MlopsError
from mlops_cli.monitoring.endpoint_check import check_endpoint

PAGE = "<!doctype html>\n<html lang=en>\n<title>500 Internal\nServer Error</title>\n<h1>Internal Server Error</h1>"


@pytest.mark.parametrize("body", [PAGE, json.dumps({"OriginalStatusCode": 500, "OriginalMessage": PAGE})])
def test_of_a_page_only_its_title_is_shown(body: str) -> None:
    def invoke(request: bytes, content_type: str) -> InvocationResponse:
        return InvocationResponse(424, body.encode(), 0.1)

    with pytest.raises(MlopsError) as caught:
        check_endpoint(invoke, ["a"])
    assert caught.value.message == "The endpoint refused the request (424): 500 Internal Server Error"
