"""Requests of a gate to the endpoint."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any


def predict(*instances: Any) -> list[Any]:
    """Return the endpoint's predictions.

    Raise AssertionError if the model that answers is not the approved one, and urllib.error.HTTPError if the endpoint
    refuses the request.
    """
    request = urllib.request.Request(
        os.environ["MLOPS_ENDPOINT_URL"],
        json.dumps({"instances": instances}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as response:
        served = response.headers["X-Amzn-SageMaker-Custom-Attributes"]
        expected = f"model-digest={os.environ['MLOPS_MODEL_DIGEST']}"
        if served != expected:
            raise AssertionError(f"live is {served}, approved is {expected}")
        return list(json.load(response)["predictions"])
