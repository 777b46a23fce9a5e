"""scikit-learn: one image for training and serving."""

from __future__ import annotations

from typing import Any

from mlops_cli.frameworks import formats
from mlops_cli.frameworks.base import CSV, JSON, Framework, Image, Toolkit


def input_fn(body: Any, content_type: str) -> Any:
    """Return an array. Text formats give single precision, as in the container."""
    array = formats.decode_cells(body, content_type)
    return array.astype("float32") if content_type in (JSON, CSV) else array


def predict_fn(data: Any, model: Any) -> Any:
    return model.predict(data)


IMAGE = Image("1.9-0", python="py3")
FRAMEWORK = Framework(
    name="sklearn",
    title="scikit-learn",
    extra="sklearn",
    modules=("sklearn", "skops"),
    package="scikit-learn",
    training=IMAGE,
    serving=IMAGE,
    training_repository="sagemaker-scikit-learn",
    repository="sagemaker-scikit-learn",
    toolkit=Toolkit.CONTAINERS,
    installs_code=True,
    input_fn=input_fn,
    predict_fn=predict_fn,
    output_fn=formats.encode_cells,
)
