"""XGBoost: one image for training and serving."""

from __future__ import annotations

from typing import Any

from mlops_cli.frameworks import formats
from mlops_cli.frameworks.base import CSV, JSON, NPY, Framework, Image, Toolkit


def input_fn(body: Any, content_type: str) -> Any:
    """Return a DMatrix from CSV rows.

    The container's other formats (libsvm, recordio) need a package's own input_fn.
    """
    return _matrix(read_rows(body, content_type))


def predict_fn(data: Any, model: Any) -> Any:
    return model.predict(data, validate_features=False)


def read_rows(body: Any, content_type: str) -> Any:
    """Return an array from CSV rows. An empty cell is a missing value."""
    import numpy as np

    if content_type.partition(";")[0].strip() != CSV:
        raise formats.UnsupportedFormatError(content_type)
    text = body.decode() if isinstance(body, bytes) else body
    cells = [[cell or "nan" for cell in line.split(",")] for line in text.split("\n")]
    return np.array(cells).astype(np.float64)


def predict_rows(rows: Any, model: Any) -> Any:
    return predict_fn(_matrix(rows), model)


def _matrix(rows: Any) -> Any:
    import xgboost

    return xgboost.DMatrix(rows)


IMAGE = Image("3.2-0")
FRAMEWORK = Framework(
    name="xgboost",
    title="XGBoost",
    extra="xgboost",
    modules=("xgboost",),
    package="xgboost",
    training=IMAGE,
    serving=IMAGE,
    training_repository="sagemaker-xgboost",
    repository="sagemaker-xgboost",
    toolkit=Toolkit.INFERENCE,
    unnamed_packages=("xgboost-cpu",),
    content_types=(CSV, JSON, NPY),
    installs_code=True,
    input_fn=input_fn,
    predict_fn=predict_fn,
    output_fn=formats.encode_cells,
    row_functions={"input_fn": read_rows, "predict_fn": predict_rows},
)
