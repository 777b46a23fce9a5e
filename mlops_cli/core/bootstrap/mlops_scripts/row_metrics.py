"""A metric of the project's own: a function of one row's truth and prediction, and its mean over the rows."""

from __future__ import annotations

import hashlib
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlops_scripts.values import check_lengths, shown

Columns = Mapping[str, Mapping[str, Any]]
RowMetric = Callable[[Any, Any], Any]
# Metrics that `mlops` itself computes from predictions: a function with such a name would never be used.
BUILT_IN = (
    "accuracy", "average_precision", "brier", "f1", "log_loss", "mae", "mape", "precision", "r2", "recall", "rmse",
    "roc_auc",
)  # fmt: skip


def row_metric(function: RowMetric, columns: Columns) -> float:
    """Return the mean of the function over all rows, for `metrics.json`.

    The function gets the truth and the prediction of a row: two numbers; with several columns, two mappings of numbers
    by name.
    """
    values = row_values(getattr(function, "__name__", "the metric"), function, columns)
    if not values:
        raise ValueError("row_metric: there are no rows")
    return sum(values) / len(values)


def described(functions: Mapping[str, RowMetric], columns: Columns) -> dict[str, Any]:
    """Return the values of each metric and the digest of its function, for `predictions.json`."""
    check_names("row_metrics", functions)
    digests = {name: function_digest(name, function) for name, function in functions.items()}
    return {
        name: {"values": row_values(name, function, columns), "function": digests[name]}
        for name, function in functions.items()
    }


def check_names(title: str, functions: Mapping[str, Any]) -> None:
    """Raise ValueError unless all values are functions, and no name is that of a metric of `mlops` itself."""
    if not isinstance(functions, Mapping):
        raise ValueError(f'{title} is {shown(functions)}, expected functions by name: {{"cost": cost}}')
    for name in functions:
        if name in BUILT_IN:
            raise ValueError(f"{title} has {name}, a metric that mlops computes itself; give yours another name")


def row_values(name: str, function: RowMetric, columns: Columns) -> list[float]:
    """Return the function's values. Raise ValueError, with the function and the row, for a value that is no number."""
    return [_value(name, function, pair, row) for row, pair in enumerate(_pairs(columns))]


def _value(name: str, function: RowMetric, pair: tuple[Any, Any], row: int) -> float:
    subject = f"row {row} (truth {pair[0]}, prediction {pair[1]})"
    return checked_value(name, function, lambda: function(*pair), f"in {subject}", "each row")


def checked_value(name: str, function: Callable[..., Any], call: Callable[[], Any], where: str, rows: str) -> float:
    """Return the number that a call of the function returns.

    Raise ValueError, with the function and the place of the call, if the function raises or returns anything else.
    """
    title = f"the metric {name}, {location(function)},"
    try:
        value = call()
    except (Exception, SystemExit) as error:  # exit(0) in a metric would end the training as a success
        raise ValueError(f"{title} failed {where}: {type(error).__name__}: {error}") from error
    number = as_number(value)
    if not math.isfinite(number):
        raise ValueError(f"{title} returned {shown(value)} {where}; expected one finite number for {rows}")
    return number


def as_number(value: Any) -> float:
    """Return a number of any type as a float; nan for anything else."""
    try:
        is_number = not isinstance(value, (str, bytes)) and not getattr(value, "shape", None)
        return float(value) if is_number else math.nan
    except (TypeError, ValueError, OverflowError):
        return math.nan


def location(function: Callable[..., Any]) -> str:
    """Return the function's name, file and line."""
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{shown(function)}"
    file, folder = Path(code.co_filename), Path(sys.argv[0]).resolve().parent
    path = file.relative_to(folder) if file.is_relative_to(folder) else file
    return f"{code.co_name}() in {path}, line {code.co_firstlineno}"


def _pairs(columns: Columns) -> list[tuple[Any, Any]]:
    """Return the truth and the prediction of each row."""
    lists = {f"{key}_of_{name}": column[key] for name, column in columns.items() for key in ("truth", "predicted")}
    check_lengths("row_metrics", **lists)
    if len(columns) == 1:
        (column,) = columns.values()
        return list(zip(column["truth"], column["predicted"], strict=True))
    names = list(columns)
    truths, predictions = (zip(*(columns[name][key] for name in names), strict=True) for key in ("truth", "predicted"))
    return [
        (dict(zip(names, truth, strict=True)), dict(zip(names, predicted, strict=True)))
        for truth, predicted in zip(truths, predictions, strict=True)
    ]


def function_digest(name: str, function: Callable[..., Any]) -> str:
    """Return the digest of a function's source: values of different sources are not compared.

    The digest does not cover the functions that it calls. Raise ValueError for a callable without source, such as a
    `functools.partial`.
    """
    try:
        return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()
    except (TypeError, OSError):
        raise ValueError(f"{name} must be a function that is written in a file of the project") from None
