"""Counts in an endpoint's log, read by AWS's own paginator from stored pages."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.request_statistics import read_counts
from mlops_cli.backends.aws.errors import AwsError

GROUP = "/aws/sagemaker/Endpoints/toxic-dev"


@pytest.fixture
def stubbed() -> Any:
    raw = boto3.client("logs", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(raw) as stub:
        yield Client(raw, ""), stub
        stub.assert_no_pending_responses()


def line(model: str, requests: int) -> dict[str, Any]:
    counts = {"model": model, "requests": requests, "rows": requests, "squares": requests, "measures": {}}
    return {"message": f"mlops-observed {json.dumps(counts)}"}


def test_all_pages_are_read_and_only_lines_about_the_model_count(stubbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client, stub = stubbed
    monkeypatch.setattr("time.time", lambda: 1_709_294_400.0)  # 1 March 2024, 12:00 UTC
    request = {
        "logGroupName": GROUP,
        "filterPattern": '"mlops-observed"',
        "startTime": 1_709_164_800_000,  # 29 February, 00:00: two days before, today included
    }
    pages = [[line("abc", 2), line("other", 100)], [], [line("abc", 3), {"message": "mlops-observed a text"}]]
    for number, events in enumerate(pages):
        more = {"nextToken": f"t{number}"} if number < len(pages) - 1 else {}
        earlier = {"nextToken": f"t{number - 1}"} if number else {}
        stub.add_response("filter_log_events", {"events": events, **more}, {**request, **earlier})
    assert read_counts(client, "toxic-dev", "abc", 2).requests == 5


def test_an_endpoint_without_a_log_has_no_counts(stubbed: Any) -> None:
    client, stub = stubbed
    stub.add_client_error("filter_log_events", "ResourceNotFoundException", "no such group")
    assert read_counts(client, "toxic-dev", "abc", 7).requests == 0


def test_a_caller_without_permission_for_the_log_gets_an_error(stubbed: Any) -> None:
    client, stub = stubbed
    stub.add_client_error("filter_log_events", "AccessDeniedException", "not authorized to perform: logs:Filter")
    with pytest.raises(AwsError) as caught:
        read_counts(client, "toxic-dev", "abc", 7)
    assert caught.value.code == "AccessDeniedException"
