"""Between the client and the model: {"instances": [{"months": 2, ...}]} to {"predictions": [{"left": 0.93}]}.

SageMaker's XGBoost container and the server on one machine call these functions.
"""

import json
from pathlib import Path
from typing import Any

import xgboost

FEATURES, TARGET = ["months", "tickets", "price"], "left"


def model_fn(model_dir: str) -> Any:
    """Load the model, which is JSON."""
    return xgboost.Booster(model_file=Path(model_dir, "model.json"))


def input_fn(body: str | bytes, content_type: str) -> list[list[float]]:
    """Return one row for each instance."""
    return [[float(instance[name]) for name in FEATURES] for instance in json.loads(body)["instances"]]


def predict_fn(rows: list[list[float]], model: Any) -> Any:
    """Return the chance that a customer leaves, for each row."""
    return model.predict(xgboost.DMatrix(rows, feature_names=FEATURES))


def output_fn(chances: Any, accept: str) -> tuple[str, str]:
    """Return the answer and its content type."""
    predictions = [{TARGET: chance} for chance in chances.tolist()]
    return json.dumps({"predictions": predictions}), "application/json"
