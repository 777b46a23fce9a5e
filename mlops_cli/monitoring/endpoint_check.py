"""A check of an endpoint from a client's side: some predictions, and the latency of single requests."""

from __future__ import annotations

import json
import re
import statistics
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.json_text import parse_json
from mlops_cli.plain_text import clipped

REQUESTS, OK = 100, HTTPStatus.OK
INPUT_CHARACTERS = 80


class InvokedEndpoint(Protocol):
    """An endpoint; ``log_name``: where its log is."""

    @property
    def log_name(self) -> str: ...

    def invoke(self, body: bytes, content_type: str) -> InvocationResponse: ...

    def failure(self, since: float) -> str:
        """Return the exception that the handlers have logged since a time; empty without one."""


@dataclass(frozen=True)
class EndpointCheck:
    """``rows``: inputs with named numbers, if the response has this form. ``raw``: the response's text."""

    rows: list[tuple[str, dict[str, float]]]
    raw: str
    requests: int
    p50_ms: float
    p99_ms: float


def check_endpoint(endpoint: InvokedEndpoint, instances: list[Any]) -> EndpointCheck:
    """Send all instances in one request for the predictions, then single requests for the latency.

    Raise ConfigurationError without instances, and MlopsError if the endpoint refuses them.
    """
    if not instances:
        raise ConfigurationError(
            "There is nothing to send: usecase.toml has no examples under [endpoint].",
            "Add some, or name it: mlops test-endpoint --text TEXT, or mlops test-endpoint --file FILE",
        )
    raw = _accepted(endpoint, instances).body.decode("utf-8", "replace")
    singles = [_accepted(endpoint, [instances[i % len(instances)]]) for i in range(REQUESTS)]
    times = sorted(answer.seconds * 1000 for answer in singles)
    return EndpointCheck(
        _rows(instances, raw), raw, REQUESTS, statistics.median(times), times[int(len(times) * 0.99) - 1]
    )


def _body(instances: list[Any]) -> bytes:
    return json.dumps({"instances": instances}).encode()


def _send(endpoint: InvokedEndpoint, instances: list[Any]) -> InvocationResponse:
    return endpoint.invoke(_body(instances), "application/json")


def _accepted(endpoint: InvokedEndpoint, instances: list[Any]) -> InvocationResponse:
    """Return the answer. Raise MlopsError with the first refused input, and the exception of the handlers."""
    answer = _send(endpoint, instances)
    if answer.status == OK:
        return answer
    position = _first_refused(endpoint, instances)
    refused = instances if position is None else [instances[position]]
    since = time.time()
    again = _send(endpoint, refused)  # its exception is the last one in the log
    answer = answer if again.status == OK else again
    exception = endpoint.failure(since) if _is_failure(answer) else ""
    subject = "the request" if position is None else f"input {position + 1}, {_shown(instances[position])}"
    raise MlopsError(
        f"The endpoint refused {subject} ({answer.status}): {exception or _reason(answer.body)}",
        f"Check what you sent, and the endpoint's log: {endpoint.log_name}",
    )


def _first_refused(endpoint: InvokedEndpoint, instances: list[Any]) -> int | None:
    """Return the position of the first input that is refused alone; None if they are only refused together."""
    start, end = 0, len(instances)
    while end - start > 1:
        middle = (start + end) // 2
        if _send(endpoint, instances[start:middle]).status != OK:
            end = middle
        elif _send(endpoint, instances[middle:end]).status != OK:
            start = middle
        else:
            return None
    return start


def _is_failure(answer: InvocationResponse) -> bool:
    """Return True for an error of the handlers, as opposed to a request that they refuse."""
    if answer.status != HTTPStatus.FAILED_DEPENDENCY:
        return answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    try:
        document = parse_json(answer.body)
    except ValueError:
        return True
    status = document.get("OriginalStatusCode") if isinstance(document, dict) else None
    return not isinstance(status, int) or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _shown(instance: Any) -> str:
    return clipped(json.dumps(instance, ensure_ascii=False), INPUT_CHARACTERS)


def _reason(body: bytes) -> str:
    """Return the innermost message of an error.

    SageMaker's error contains the container's, which is JSON with a message.
    """
    text = body.decode("utf-8", "replace")
    try:
        document = parse_json(text)
    except ValueError:
        return _title_of_page(text) or text[:300]
    fields = document if isinstance(document, dict) else {}
    inner = next(
        (fields[name] for name in ("OriginalMessage", "description", "error", "Message") if fields.get(name)), ""
    )
    return _reason(str(inner).encode()) if inner else text[:300]


def _title_of_page(text: str) -> str:
    """Return the title of an HTML page, which some containers send; empty for any other text."""
    title = re.search(r"<title>(.*?)</title>", text, re.S | re.I)
    return " ".join(title[1].split()) if title else ""


def _rows(instances: list[Any], raw: str) -> list[tuple[str, dict[str, float]]]:
    """Return inputs with their predictions, if each prediction is an object of numbers by name."""
    try:
        document = parse_json(raw)
    except ValueError:
        return []
    predictions = document.get("predictions") if isinstance(document, dict) else None
    named = [_by_label(prediction) for prediction in predictions] if isinstance(predictions, list) else []
    if not all(_is_scores(scores, named[0]) for scores in named):
        return []
    return [(_as_text(instance), scores) for instance, scores in zip(instances, named, strict=False)]


def _by_label(prediction: Any) -> Any:
    """Return a prediction by label. A model without handlers returns a number, or a list with one number."""
    bare = prediction[0] if isinstance(prediction, list) and len(prediction) == 1 else prediction
    return {"prediction": bare} if isinstance(bare, (int, float)) else prediction


def _is_scores(scores: Any, first: Any) -> bool:
    """True if a prediction has the same names as the first one, each with a number."""
    if not isinstance(scores, dict) or scores.keys() != first.keys():
        return False
    return all(isinstance(value, (int, float)) for value in scores.values())


def _as_text(instance: Any) -> str:
    """Return an input as text: of a table's row, its columns and values."""
    if isinstance(instance, dict):
        return ", ".join(f"{name} {value}" for name, value in instance.items())
    return ", ".join(map(str, instance)) if isinstance(instance, list) else str(instance)
