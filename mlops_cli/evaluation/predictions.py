"""The reader of a training's predictions. training/evaluation/predictions.py describes the format."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from mlops_cli.errors import MlopsError
from mlops_cli.files.json_text import parse_json

LABEL, NUMBER = "label", "number"
DIGEST = re.compile("[0-9a-f]{8}")


@dataclass(frozen=True)
class Column:
    """One output of the model. ``truth`` and ``predicted`` are float64 [rows].

    For a class also, bool [rows]: ``chosen``, where it is the likeliest class; ``hits``, where the likeliest class is
    true.
    """

    name: str
    kind: str
    truth: np.ndarray
    predicted: np.ndarray
    threshold: float | None = None
    chosen: np.ndarray | None = None
    hits: np.ndarray | None = None

    def take(self, positions: np.ndarray) -> Column:
        return replace(self, truth=self.truth[positions], predicted=self.predicted[positions], chosen=None, hits=None)


@dataclass(frozen=True)
class RowMetric:
    """A metric of the project's own: its value in each row, float64 [rows], and the digest of its function."""

    values: np.ndarray
    function: str


@dataclass(frozen=True)
class TableMetric:
    """A metric of the project's own over all rows: its value, its values in resamples, and its function's digest.

    ``resamples`` are float64 [resamples], nan where undefined. Models with the same rows have the same resamples.
    """

    value: float
    resamples: np.ndarray
    function: str


@dataclass(frozen=True)
class Predictions:
    """A model's predictions on (a sample of) its test rows. ``trained_on``: hash prefixes of its training rows.

    ``one_of``: the columns are classes, and exactly one is true in each row.
    """

    split: str
    test_rows: int
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    trained_on: np.ndarray | None
    one_of: bool = False
    row_metrics: Mapping[str, RowMetric] = field(default_factory=dict)
    table_metrics: Mapping[str, TableMetric] = field(default_factory=dict)

    @property
    def own_metrics(self) -> dict[str, RowMetric | TableMetric]:
        """The metrics of the project's own, by name."""
        return {**self.row_metrics, **self.table_metrics}

    @cached_property
    def row_positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.rows)}

    def is_training_row(self, rows: tuple[str, ...]) -> np.ndarray:
        """Return for each row True if the model was trained on it: bool [rows]; False if unknown."""
        if self.trained_on is None:
            return np.zeros(len(rows), bool)
        digests = np.array([_is_digest(name) for name in rows])
        heads = np.array([int(name[:8], 16) if _is_digest(name) else 0 for name in rows], np.uint32)
        return np.asarray(np.isin(heads, self.trained_on) & digests)

    def take(self, positions: np.ndarray) -> Predictions:
        rows = tuple(self.rows[position] for position in positions)
        return replace(self, rows=rows, columns=tuple(column.take(positions) for column in self.columns))

    @cached_property
    def measured(self) -> tuple[Column, ...]:
        """Return the columns as metrics need them; for classes, with the class that the model chooses."""
        return with_choices(self.columns) if self.one_of else self.columns

    def confusion(self) -> list[list[int]]:
        """Return the number of rows of each class by the class that the model chooses, in the columns' order."""
        columns = with_choices(self.columns)
        chosen = np.stack([np.asarray(column.chosen) for column in columns])
        return [[int(np.sum((column.truth == 1) & row)) for row in chosen] for column in columns]


def with_choices(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """Return the classes with the model's choice. Of equally likely classes the first one is chosen."""
    best = np.stack([column.predicted for column in columns]).argmax(axis=0)
    hits = np.stack([column.truth for column in columns])[best, np.arange(len(best))] == 1
    return tuple(replace(column, chosen=best == position, hits=hits) for position, column in enumerate(columns))


def read_predictions(content: bytes, name: str = "predictions.json") -> Predictions:
    """Parse predictions. Raise MlopsError with the problem if they have another form."""
    try:
        document = parse_json(content)
        columns = tuple(_column(key, value) for key, value in document["columns"].items())
        rows = tuple(str(row) for row in document["rows"])
        trained_on = _unpacked(document.get("trained_on"))
        one_of = document.get("one_of") is True
        of_rows = {str(key): _row_metric(value) for key, value in document.get("row_metrics", {}).items()}
        of_tables = {str(key): _table_metric(value) for key, value in document.get("table_metrics", {}).items()}
        split, test_rows = str(document["split"]), int(document["of"])
        predictions = Predictions(split, test_rows, rows, columns, trained_on, one_of, of_rows, of_tables)
    except KeyError as error:
        raise _malformed(name, f"{error} is missing") from error
    except (ValueError, TypeError, AttributeError, OverflowError, binascii.Error) as error:
        raise _malformed(name, str(error)) from error
    return _checked(predictions, name)


def _column(name: str, value: dict[str, Any]) -> Column:
    if value["kind"] not in (LABEL, NUMBER):
        raise ValueError(f"{name} is of kind {value['kind']!r}, expected {LABEL} or {NUMBER}")
    threshold = value.get("threshold")
    truth, predicted = (np.asarray(value[key], float) for key in ("truth", "predicted"))
    return Column(str(name), value["kind"], truth, predicted, None if threshold is None else float(threshold))


def _row_metric(value: dict[str, Any]) -> RowMetric:
    return RowMetric(np.asarray(value["values"], float), str(value["function"]))


def _table_metric(value: dict[str, Any]) -> TableMetric:
    resamples = np.asarray([np.nan if each is None else each for each in value["resamples"]], float)
    return TableMetric(float(value["value"]), resamples, str(value["function"]))


def _unpacked(text: str | None) -> np.ndarray | None:
    return None if text is None else np.frombuffer(base64.b64decode(text, validate=True), "<u4")


def _checked(predictions: Predictions, name: str) -> Predictions:
    for column in predictions.columns:
        if not column.truth.shape == column.predicted.shape == (len(predictions.rows),):
            raise _malformed(name, f"{column.name} has not one truth and one prediction for each of the rows")
        if not (np.isfinite(column.truth).all() and np.isfinite(column.predicted).all()):
            raise _malformed(name, f"{column.name} has a value that is no number")
        if column.kind == LABEL and not np.isin(column.truth, (0, 1)).all():
            raise _malformed(name, f"{column.name} is a label whose truth is not only 0 and 1")
    for key, metric in predictions.row_metrics.items():
        if metric.values.shape != (len(predictions.rows),) or not np.isfinite(metric.values).all():
            raise _malformed(name, f"{key} has not one number for each of the rows")
    for key, whole in predictions.table_metrics.items():
        if not np.isfinite(whole.value) or whole.resamples.ndim != 1:
            raise _malformed(name, f"{key} has not one number for all rows, and a list of numbers for their resamples")
    if not predictions.rows or not predictions.columns:
        raise _malformed(name, "there is no row or no column in it")
    if predictions.one_of:
        if any(column.kind != LABEL for column in predictions.columns):
            raise _malformed(name, "with one_of, every column is a label")
        if not (np.stack([column.truth for column in predictions.columns]).sum(axis=0) == 1).all():
            raise _malformed(name, "with one_of, exactly one label of each row is 1")
    if predictions.trained_on is not None and not all(_is_digest(row) for row in predictions.rows):
        raise _malformed(name, "with trained_on, each row's name must begin with 8 hex digits")
    return predictions


def _is_digest(row: str) -> bool:
    return DIGEST.match(row) is not None


def _malformed(name: str, reason: str) -> MlopsError:
    return MlopsError(
        f"{name} is not valid: {reason}.", "training/evaluation/predictions.py describes the format; then: mlops run"
    )
