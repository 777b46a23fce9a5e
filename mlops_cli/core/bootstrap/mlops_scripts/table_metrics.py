"""A metric of the project's own over the whole table: a function of all truths and predictions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mlops_scripts.row_metrics import Columns, as_number, check_names, checked_value, function_digest
from mlops_scripts.values import check_lengths

TableMetric = Callable[[Any, Any], Any]
RESAMPLES, SEED = 200, 42


def table_metric(function: TableMetric, columns: Columns) -> float:
    """Return the function's value over all rows, for `metrics.json`.

    The function gets the list of all truths and the list of all predictions; with several columns, two mappings of
    lists by name.
    """
    return _value(getattr(function, "__name__", "the metric"), function, columns, range(_rows(columns)))


def described(functions: Mapping[str, TableMetric], columns: Columns) -> dict[str, Any]:
    """Return each metric's value, its values in resamples of the rows, and its function's digest.

    Two models with the same rows have the same resamples, so the difference of two models has a confidence interval.
    """
    check_names("table_metrics", functions)
    return {name: _described(name, function, columns) for name, function in functions.items()}


def _described(name: str, function: TableMetric, columns: Columns) -> dict[str, Any]:
    digest, rows = function_digest(name, function), _rows(columns)
    draw = random.Random(SEED).random
    drawn = ([int(draw() * rows) for _ in range(rows)] for _ in range(RESAMPLES))
    return {
        "function": digest,
        "value": _value(name, function, columns, range(rows)),
        "resamples": [_defined_value(function, columns, positions) for positions in drawn],
    }


def _defined_value(function: TableMetric, columns: Columns, rows: Sequence[int]) -> float | None:
    """Return the value in a resample; None where it is undefined, such as a precision without a positive row.

    In a resample the function may raise anything, such as IndexError, because it has returned a number for all rows.
    """
    try:
        value = as_number(_call(function, columns, rows))
    except Exception:  # noqa: BLE001
        return None
    return value if math.isfinite(value) else None


def _value(name: str, function: TableMetric, columns: Columns, rows: Sequence[int]) -> float:
    where = f"for {len(rows):,} rows"
    return checked_value(name, function, lambda: _call(function, columns, rows), where, "all rows")


def _call(function: TableMetric, columns: Columns, rows: Sequence[int]) -> Any:
    """Call the function with new lists, because it may sort them."""
    truth, predicted = (
        {title: [column[key][row] for row in rows] for title, column in columns.items()}
        for key in ("truth", "predicted")
    )
    if len(columns) == 1:
        return function(*(next(iter(lists.values())) for lists in (truth, predicted)))
    return function(truth, predicted)


def _rows(columns: Columns) -> int:
    """Return the number of rows. Raise ValueError without rows, and for columns of different lengths."""
    lists = {f"{key}_of_{name}": column[key] for name, column in columns.items() for key in ("truth", "predicted")}
    check_lengths("table_metrics", **lists)
    rows = max((len(values) for values in lists.values()), default=0)
    if not rows:
        raise ValueError("table_metric: there are no rows")
    return rows
