"""A metric of the project's own: a function of one row's truth and prediction, and its mean over the rows."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

Columns = Mapping[str, Mapping[str, Any]]
RowMetric = Callable[[Any, Any], Any]


def row_metric(function: RowMetric, columns: Columns) -> float:
    """Return the mean of the function over all rows, for `metrics.json`.

    The function gets the truth and the prediction of a row: numbers, or with several columns their numbers by name.
    """
    values = row_values("the metric", function, columns)
    return sum(values) / len(values)


def described(functions: Mapping[str, RowMetric], columns: Columns) -> dict[str, Any]:
    """Return each metric's values, and the digest of its function, for `predictions.json`."""
    digests = {name: _digest(name, function) for name, function in functions.items()}
    return {
        name: {"values": row_values(name, function, columns), "function": digests[name]}
        for name, function in functions.items()
    }


def row_values(name: str, function: RowMetric, columns: Columns) -> list[float]:
    """Return the function's values. Raise ValueError for one that is no finite number."""
    values = [float(function(*pair)) for pair in _pairs(columns)]
    for row, value in enumerate(values):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value} in row {row}; it must be a number in every row")
    return values


def _pairs(columns: Columns) -> list[tuple[Any, Any]]:
    """Return the truth and the prediction of each row."""
    if len(columns) == 1:
        (column,) = columns.values()
        return list(zip(column["truth"], column["predicted"], strict=True))
    names = list(columns)
    truths, predictions = (zip(*(columns[name][key] for name in names), strict=True) for key in ("truth", "predicted"))
    return [
        (dict(zip(names, truth, strict=True)), dict(zip(names, predicted, strict=True)))
        for truth, predicted in zip(truths, predictions, strict=True)
    ]


def _digest(name: str, function: RowMetric) -> str:
    """Return the digest of a function's text: values of another text are not compared. What it calls is not in it.

    Raise ValueError for a callable without a text of its own, such as a `functools.partial`.
    """
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (TypeError, OSError):
        raise ValueError(f"{name} must be a function that is written in a file of the project") from None
