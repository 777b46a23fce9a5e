"""The plots of one label: simplified curves, calibration bins, counts at a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlops_cli.evaluation.predictions import Column

Points = list[tuple[float, float]]
# A plot of some 200 pixels shows no more.
MOST_POINTS = 120
BINS = 10
Z = 1.96  # for 95 %


def _ratio(part: int, complement: int) -> float | None:
    return part / (part + complement) if part + complement else None


@dataclass(frozen=True)
class Confusion:
    """Numbers of rows at a threshold: true and false positives, false and true negatives."""

    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def recall(self) -> float | None:
        return _ratio(self.true_positives, self.false_negatives)

    @property
    def precision(self) -> float | None:
        return _ratio(self.true_positives, self.false_positives)

    @property
    def false_positive_rate(self) -> float | None:
        return _ratio(self.false_positives, self.true_negatives)


@dataclass(frozen=True)
class Bin:
    """Rows with similar predictions: mean, rate of positives with its 95 % interval, number of rows."""

    predicted: float
    rate: float
    low: float
    high: float
    rows: int


def roc(column: Column) -> Points:
    """Return the false positive rate and the true positive rate of each point."""
    hits, alarms = _counts(column)
    return _thin(alarms / max(alarms[-1], 1), hits / max(hits[-1], 1))


def precision_recall(column: Column) -> Points:
    """Return recall and precision, from the first true positive on."""
    hits, alarms = _counts(column)
    has_hits = hits > 0
    return _thin((hits / max(hits[-1], 1))[has_hits], (hits / np.maximum(hits + alarms, 1))[has_hits])


def _counts(column: Column) -> tuple[np.ndarray, np.ndarray]:
    """Return true and false positives for falling thresholds, from 0 positives on. Equal predictions are one step."""
    order = np.argsort(-column.predicted, kind="stable")
    truth = column.truth[order]
    ends = np.append(np.flatnonzero(np.diff(column.predicted[order])), len(order) - 1)
    hits, alarms = np.cumsum(truth)[ends], np.cumsum(1 - truth)[ends]
    return np.concatenate([[0], hits]), np.concatenate([[0], alarms])


def precision_recall_by_threshold(column: Column) -> tuple[Points, Points]:
    """Return precision and recall by threshold. Precision ends at the last positive prediction."""
    thresholds = np.linspace(0, 1, MOST_POINTS + 1)
    ordered = np.sort(column.predicted)
    positives = np.sort(column.predicted[column.truth == 1])
    predicted_positive = len(ordered) - np.searchsorted(ordered, thresholds, "left")
    hits = len(positives) - np.searchsorted(positives, thresholds, "left")
    has_predictions = predicted_positive > 0
    precision = list(
        zip(
            thresholds[has_predictions].tolist(),
            (hits[has_predictions] / predicted_positive[has_predictions]).tolist(),
            strict=True,
        )
    )
    return precision, list(zip(thresholds.tolist(), (hits / max(len(positives), 1)).tolist(), strict=True))


def confusion(column: Column, threshold: float) -> Confusion:
    predicted, true = column.predicted >= threshold, column.truth == 1
    counts = (predicted & true, predicted & ~true, ~predicted & true, ~predicted & ~true)
    return Confusion(*(int(rows.sum()) for rows in counts))


def calibration(column: Column) -> list[Bin]:
    """Return ten bins of equal width from 0 to 1, without the empty ones."""
    bins = np.clip((column.predicted * BINS).astype(int), 0, BINS - 1)
    chosen = (bins == bin_index for bin_index in range(BINS))
    return [_bin(column.predicted[rows], column.truth[rows]) for rows in chosen if rows.any()]


def _bin(predicted: np.ndarray, truth: np.ndarray) -> Bin:
    rows, rate = len(truth), float(truth.mean())
    low, high = wilson_interval(rate, rows)
    return Bin(float(predicted.mean()), rate, low, high, rows)


def wilson_interval(rate: float, rows: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate over ``rows`` rows (Wilson)."""
    centre = (rate + Z**2 / (2 * rows)) / (1 + Z**2 / rows)
    reach = Z / (1 + Z**2 / rows) * float(np.sqrt(rate * (1 - rate) / rows + Z**2 / (4 * rows**2)))
    return max(0.0, centre - reach), min(1.0, centre + reach)


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean distance over the rows."""
    rows = sum(bucket.rows for bucket in bins)
    return sum(bucket.rows * abs(bucket.predicted - bucket.rate) for bucket in bins) / rows


def _thin(x: np.ndarray, y: np.ndarray) -> Points:
    """Return the points without those that lie on the line between their neighbours, at a plot's resolution."""
    if len(x) > MOST_POINTS:
        way = np.concatenate([[0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
        steps = np.linspace(0, way[-1], MOST_POINTS)
        kept = np.unique(np.concatenate([[0], np.searchsorted(way, steps), [len(x) - 1]]))
        kept = kept[kept < len(x)]
        x, y = x[kept], y[kept]
    return list(zip(x.tolist(), y.tolist(), strict=True))


def worst(column: Column, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the worst false positives and false negatives, the worst first."""
    order = np.argsort(-column.predicted, kind="stable")
    alarms = order[column.truth[order] == 0][:count]
    misses = order[::-1][column.truth[order[::-1]] == 1][:count]
    at = 0.5 if column.threshold is None else column.threshold
    return alarms[column.predicted[alarms] >= at], misses[column.predicted[misses] < at]


def largest_errors(column: Column, count: int) -> np.ndarray:
    """Return the positions of the rows with the largest errors, the largest first."""
    return np.argsort(-np.abs(column.predicted - column.truth), kind="stable")[:count]
