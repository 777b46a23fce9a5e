"""The gate on the live endpoint, over HTTP."""

import json
import os
import urllib.error
import urllib.request

import pytest

URL, DIGEST = os.environ["MLOPS_ENDPOINT_URL"], os.environ["MLOPS_MODEL_DIGEST"]
UNHAPPY, HAPPY = {"months": 1, "tickets": 8, "price": 80}, {"months": 60, "tickets": 0, "price": 20}


def ask(*instances: dict[str, int]) -> tuple[list[float], str]:
    """The chances that these customers leave, and which model says so."""
    body = json.dumps({"instances": instances}).encode()
    request = urllib.request.Request(URL, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        chances = [prediction["left"] for prediction in json.load(answer)["predictions"]]
        return chances, answer.headers["X-Amzn-SageMaker-Custom-Attributes"]


def test_the_live_model_is_the_approved_one() -> None:
    _, served = ask(HAPPY)
    assert served == f"model-digest={DIGEST}", f"live is {served}, approved is {DIGEST}"


def test_it_tells_the_unhappy_from_the_happy() -> None:
    (unhappy, happy), _ = ask(UNHAPPY, HAPPY)
    assert happy < 0.5 < unhappy, f"the unhappy customer leaves with chance {unhappy:.2f}, the happy one {happy:.2f}"


def test_a_request_without_all_columns_is_refused() -> None:
    with pytest.raises(urllib.error.HTTPError, match="HTTP Error 4"):
        ask({"months": 1})
