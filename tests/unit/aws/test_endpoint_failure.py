"""The exception behind an endpoint's status 500, from its log in CloudWatch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients import endpoint_failure
from mlops_cli.backends.aws.clients.endpoint_failure import read_failure
from mlops_cli.backends.aws.errors import AwsError

TRACEBACK = """Traceback (most recent call last):
  File "/miniconda3/lib/python3.12/site-packages/sagemaker_containers/_transformer.py", line 200, in transform
    self._model, request.content, request.content_type, request.accept
  File "/miniconda3/lib/python3.12/site-packages/inference.py", line 22, in input_fn
    return [[float(instance[name]) for name in FEATURES] for instance in rows]
  File "/miniconda3/lib/python3.12/site-packages/inference.py", line 22, in <listcomp>
    return [[float(instance[name]) for name in FEATURES] for instance in rows]
KeyError: 'price'"""


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_failure, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(endpoint_failure, "LOOK_SECONDS", 0.01)


def failure(*answers: Any) -> tuple[str, list[dict[str, Any]]]:
    """Return the failure in a log that answers one call after the other like this, and the calls."""
    calls: list[dict[str, Any]] = []

    def pages(operation: str, key: str, **parameters: Any) -> list[dict[str, str]]:
        answer = answers[min(len(calls), len(answers) - 1)]
        calls.append({"operation": operation, "key": key, **parameters})
        if isinstance(answer, AwsError):
            raise answer
        return [{"message": line} for line in answer]

    client: Any = SimpleNamespace(pages=pages)
    return read_failure(client, "/aws/sagemaker/Endpoints/x-dev", 1000.5, ["code/inference.py"]), calls


def test_the_exception_is_shown_with_the_line_and_function_of_the_handlers() -> None:
    reason, (call,) = failure(TRACEBACK.split("\n"))
    assert reason == "KeyError: 'price' (code/inference.py, line 22, in input_fn)"
    assert (call["operation"], call["startTime"]) == ("filter_log_events", 999_500)


def test_lines_that_come_later_are_awaited() -> None:
    reason, calls = failure(["GET /ping 200"], [], [TRACEBACK])
    assert (reason[:18], len(calls)) == ("KeyError: 'price' ", 3)


def test_a_log_without_an_exception_has_no_reason() -> None:
    assert failure(["GET /ping 200"])[0] == ""
    assert failure(AwsError("", "", "ResourceNotFoundException"))[0] == ""


def test_a_denied_log_is_said() -> None:
    reason, _ = failure(AwsError("You may not logs:FilterLogEvents", "", "AccessDeniedException"))
    assert reason == "the log cannot be read: You may not logs:FilterLogEvents"
