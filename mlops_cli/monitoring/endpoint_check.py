"""A check of an endpoint from a client's side: some predictions, and the latency of single requests."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlops_cli.core.endpoint import InvocationResponse
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.json_text import parse_json

REQUESTS = 100
Invoke = Callable[[bytes, str], InvocationResponse]


@dataclass(frozen=True)
class EndpointCheck:
    """``rows``: inputs with named numbers, if the response has this form. ``raw``: the response's text."""

    rows: list[tuple[str, dict[str, float]]]
    raw: str
    requests: int
    p50_ms: float
    p99_ms: float


def check_endpoint(invoke: Invoke, instances: list[Any]) -> EndpointCheck:
    """Send all instances in one request for the predictions, then single requests for the latency.

    Raise ConfigurationError without instances, and MlopsError if the endpoint refuses them.
    """
    if not instances:
        raise ConfigurationError(
            "There is nothing to send: usecase.toml has no examples under [endpoint].",
            "Add some, or name it: mlops test-endpoint --text TEXT, or mlops test-endpoint --file FILE",
        )
    answer = _accepted(invoke(_body(instances), "application/json"))
    raw = answer.body.decode("utf-8", "replace")
    singles = [_accepted(invoke(_body([instances[i % len(instances)]]), "application/json")) for i in range(REQUESTS)]
    times = sorted(answer.seconds * 1000 for answer in singles)
    return EndpointCheck(
        _rows(instances, raw), raw, REQUESTS, statistics.median(times), times[int(len(times) * 0.99) - 1]
    )


def _body(instances: list[Any]) -> bytes:
    return json.dumps({"instances": instances}).encode()


def _accepted(answer: InvocationResponse) -> InvocationResponse:
    if answer.status != 200:
        raise MlopsError(
            f"The endpoint refused the request ({answer.status}): {_reason(answer.body)}",
            "Check what you sent; the endpoint's log is .mlops/endpoint/server.log.",
        )
    return answer


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
