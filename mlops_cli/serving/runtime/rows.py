"""The rows of several requests: join inputs of the same kind, and split the predictions."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np


def kind(data: Any) -> Hashable | None:
    """Return the type and shape of a row. Inputs of the same kind can be joined; None cannot.

    An array of one axis is None, because its entries may be the columns of one row.
    """
    if type(data) is np.ndarray and data.ndim > 1 and len(data):
        return data.dtype, data.shape[1:]
    return None


def join(inputs: Sequence[Any]) -> Any:
    return np.concatenate(inputs)


def split(prediction: Any, counts: Sequence[int]) -> list[Any]:
    """Return each input's rows of a prediction. Raise ValueError unless it has one row for each row of the inputs."""
    if not isinstance(prediction, np.ndarray) or not prediction.ndim or len(prediction) != sum(counts):
        shape = getattr(prediction, "shape", "")
        raise ValueError(f"predict_fn returned {type(prediction).__name__} {shape} for {sum(counts)} rows")
    return [prediction[end - count : end] for end, count in zip(accumulate(counts), counts, strict=True)]
