"""Between the client and the model: {"instances": [{"months": 2, ...}]} to {"predictions": [{"left": 0.93}]}.

SageMaker's scikit-learn container and the server on one machine call these functions.
"""

import json
from pathlib import Path
from typing import Any

from mlops_scripts import load_skops

FEATURES, TARGET = ["months", "tickets", "price"], "left"


def model_fn(model_dir: str) -> Any:
    """Load the model: skops keeps it as data, so that loading it runs no code of the file's."""
    return load_skops(Path(model_dir, "model.skops"))


def input_fn(body: str | bytes, content_type: str) -> list[list[float]]:
    """Return one row for each instance."""
    return [[float(instance[name]) for name in FEATURES] for instance in json.loads(body)["instances"]]


def predict_fn(rows: list[list[float]], model: Any) -> Any:
    """Return the chance of the second class, 1, for each row."""
    return model.predict_proba(rows)[:, 1]


def output_fn(chances: Any, accept: str) -> tuple[str, str]:
    """Return the answer and its content type."""
    predictions = [{TARGET: chance} for chance in chances.tolist()]
    return json.dumps({"predictions": predictions}), "application/json"
