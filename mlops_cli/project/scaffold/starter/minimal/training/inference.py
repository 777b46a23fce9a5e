"""Between the client and the model: {"instances": [{"months": 2, ...}]} to {"predictions": [{"left": 0.93}]}."""

import json
from typing import Any


def input_handler(data: Any, context: Any) -> bytes:
    """The model's inputs have the columns' names, so that the request is passed on as it is."""
    return bytes(data.read())


def output_handler(response: Any, context: Any) -> tuple[str, str]:
    """The answer and its content type."""
    predictions = [{"left": row[0]} for row in json.loads(response.content)["predictions"]]
    return json.dumps({"predictions": predictions}), "application/json"
