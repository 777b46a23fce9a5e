"""The gate on the live endpoint, with nothing but HTTP; by hand:

    MLOPS_ENDPOINT_URL=http://127.0.0.1:8080/invocations MLOPS_MODEL_DIGEST=<sha256 of model.tar.gz> \\
    PYTHONPATH=. python -m pytest tests/test_posttraining.py

Thresholds are in usecase.toml under [gates.post-training].
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import NamedTuple

import pytest

from common import usecase

URL = os.environ["MLOPS_ENDPOINT_URL"]
DIGEST = os.environ["MLOPS_MODEL_DIGEST"]
GATE = usecase.gate("post-training")
LABELS = usecase.labels()
JSON, CSV = "application/json", "text/csv"
SECONDS = 30
# Sums of 32-bit numbers in another order differ in the last digits; a real difference is far larger.
TOLERANCE = 1e-4

LABEL, POSITIVE, NEGATIVE = GATE["label"], GATE["positive"], GATE["negative"]


class Answer(NamedTuple):
    status: int
    headers: Message
    body: bytes


def ask(body: bytes, content_type: str = JSON) -> Answer:
    request = urllib.request.Request(URL, body, {"Content-Type": content_type}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=SECONDS) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.headers, error.read())


def predict(*texts: str) -> list[dict[str, float]]:
    answer = ask(json.dumps({"instances": texts}).encode())
    assert answer.status == 200, f"the endpoint answered {answer.status}: {answer.body[:200]!r}"
    predictions: list[dict[str, float]] = json.loads(answer.body)["predictions"]
    return predictions


def largest_difference(left_scores: dict[str, float], right_scores: dict[str, float]) -> float:
    return max(abs(left_scores[label] - right_scores[label]) for label in LABELS)


def test_the_live_model_is_the_approved_one() -> None:
    attributes = ask(json.dumps([NEGATIVE[0]]).encode()).headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
    served = dict(part.strip().split("=", 1) for part in attributes.split(",") if "=" in part).get("model-digest")
    assert served == DIGEST, f"the endpoint serves the model {served}, but {DIGEST} is approved"


def test_an_answer_has_a_probability_for_each_label() -> None:
    (prediction,) = predict(NEGATIVE[0])
    assert list(prediction) == LABELS, f"the answer has {list(prediction)}, expected {LABELS}"
    wrong = {label: value for label, value in prediction.items() if not 0 <= value <= 1}
    assert not wrong, f"no probabilities: {wrong}"


@pytest.mark.parametrize("text", POSITIVE)
def test_a_known_positive_is_seen(text: str) -> None:
    probability, expected = predict(text)[0][LABEL], GATE["positive_above"]
    assert probability > expected, (
        f"{text!r}: {LABEL} with probability {probability:.3f}, expected more than {expected}"
    )


@pytest.mark.parametrize("text", NEGATIVE)
def test_a_known_negative_is_seen(text: str) -> None:
    probability, expected = predict(text)[0][LABEL], GATE["negative_below"]
    assert probability < expected, (
        f"{text!r}: {LABEL} with probability {probability:.3f}, expected less than {expected}"
    )


@pytest.mark.parametrize(
    ("change", "text", "changed"),
    [
        ("letter case", "You are an idiot.", "YOU ARE AN IDIOT."),
        ("white space around", "You are an idiot.", " \n\tYou are an idiot. \r\n"),
        ("white space inside", "You are an idiot.", "You  are\nan\t idiot."),
        ("another URL", "See http://example.org/a?b=1 for more.", "See https://www.example.com/ for more."),
        ("another IP address", "The user at 10.0.0.1 again.", "The user at 192.168.100.200 again."),
    ],
)
def test_what_does_not_matter_changes_nothing(change: str, text: str, changed: str) -> None:
    difference = largest_difference(*predict(text, changed))
    assert difference <= TOLERANCE, (
        f"{change}: {changed!r} instead of {text!r} changes a probability by {difference:.4f}"
    )


def test_a_batch_equals_the_same_texts_one_by_one() -> None:
    texts = [*POSITIVE, *NEGATIVE, "long " * 300, "?"]
    together = predict(*texts)
    assert len(together) == len(texts), f"{len(together)} predictions for {len(texts)} texts"
    for text, prediction in zip(texts, together, strict=True):
        difference = largest_difference(predict(text)[0], prediction)
        assert difference <= TOLERANCE, f"{text[:40]!r} in a batch differs by {difference:.4f} from the same text alone"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, json.dumps([NEGATIVE[0]]).encode()),
        (JSON, json.dumps({"text": NEGATIVE[0]}).encode()),
        (CSV, f'"{NEGATIVE[0]}"\n'.encode()),
    ],
    ids=["list", "text", "csv"],
)
def test_every_request_format_gets_the_same_answer(content_type: str, body: bytes) -> None:
    answer = ask(body, content_type)
    assert answer.status == 200, f"the endpoint answered {answer.status}: {answer.body[:200]!r}"
    difference = largest_difference(json.loads(answer.body)["predictions"][0], predict(NEGATIVE[0])[0])
    assert difference <= TOLERANCE, f"the same text in another format differs by {difference:.4f}"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON, b"{not json"),
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b'{"instances": "a text"}'),
        (JSON, b'{"instances": ["a text", 3]}'),
        (JSON, b'{"instances": [null]}'),
        (JSON, b'{"instances": [""]}'),
        (JSON, b'{"something": "else"}'),
        (JSON, b'["caf\xe9"]'),
        (CSV, b"two,fields\n"),
        ("image/png", b"\x89PNG"),
    ],
    ids=[
        "no JSON",
        "nothing",
        "no texts",
        "no list",
        "number",
        "null",
        "empty",
        "unknown key",
        "no UTF-8",
        "ragged",
        "type",
    ],
)
def test_a_malformed_request_is_refused_with_a_reason(content_type: str, body: bytes) -> None:
    answer = ask(body, content_type)
    assert 400 <= answer.status < 500, f"{body!r} as {content_type} was answered {answer.status}, expected a 4xx"
    assert answer.body, f"{body!r} as {content_type} was refused without a reason"
    assert predict(NEGATIVE[0]), "no answer after a malformed request"


def test_answers_come_in_time() -> None:
    body = json.dumps([POSITIVE[0]]).encode()
    for _ in range(GATE["warm_up_requests"]):
        ask(body)
    milliseconds = sorted(_milliseconds(body) for _ in range(GATE["requests"]))
    p99, allowed = milliseconds[int(0.99 * len(milliseconds))], GATE["max_p99_ms"]
    assert p99 <= allowed, (
        f"1 % of {len(milliseconds)} answers took {p99:.0f} ms or longer, expected at most {allowed} ms"
    )


def _milliseconds(body: bytes) -> float:
    start = time.perf_counter()
    answer = ask(body)
    assert answer.status == 200, f"the endpoint answered {answer.status}: {answer.body[:200]!r}"
    return 1000 * (time.perf_counter() - start)
