"""The rows of several requests: join inputs of the same kind, and split the predictions."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np


def kind(data: Any) -> Hashable | None:
    """Return the type of the rows. Inputs of the same kind can be joined; an input without a kind cannot.

    An array of one axis has no kind, because its entries may be the columns of one row.
    """
    if type(data) is np.ndarray and data.ndim > 1 and len(data):
        return np.ndarray, data.dtype, data.shape[1:]
    if type(data) is list and data:
        return list
    if _is_data_frame(data) and len(data):
        return type(data), tuple(data.dtypes.items())
    return None


def join(inputs: Sequence[Any]) -> Any:
    """Return the rows of inputs of one kind."""
    if isinstance(inputs[0], list):
        return [row for data in inputs for row in data]
    if isinstance(inputs[0], np.ndarray):
        return np.concatenate(inputs)
    return sys.modules["pandas"].concat(inputs, ignore_index=True)


def split(prediction: Any, counts: Sequence[int]) -> list[Any]:
    """Return each input's rows of a prediction. Raise ValueError unless it has one row for each row of the inputs."""
    has_rows = isinstance(prediction, list) or (isinstance(prediction, np.ndarray) and prediction.ndim)
    if not has_rows or len(prediction) != sum(counts):
        shape = getattr(prediction, "shape", len(prediction) if has_rows else "")
        raise ValueError(f"predict_fn returned {type(prediction).__name__} {shape} for {sum(counts)} rows")
    return [prediction[end - count : end] for end, count in zip(accumulate(counts), counts, strict=True)]


def _is_data_frame(data: Any) -> bool:
    """Return True for a DataFrame whose rows are only numbered. Do not import pandas for it."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(data) is pandas.DataFrame and type(data.index) is pandas.RangeIndex
