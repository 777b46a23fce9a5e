"""Metrics under resampling: ``weights`` [rows, resamples] say how often each resample has each of the test rows.

A metric takes the truth and the predictions [rows] and such weights, and gives one value for each resample, nan
where it is undefined. All of it is arithmetic on whole matrices: nothing is sorted once for each resample.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mlops_cli.comparison import CONFIDENCE
from mlops_cli.measures.predictions import LABEL, NUMBER, Column

RESAMPLES = 1000
SEED = 42
# So many resamples at a time stay in the processor's cache.
TOGETHER = 64
# Fewer positives (or negatives) than these tell nothing: no interval is given.
FEWEST = 5

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def weights(rows: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """Resamples with replacement, some at a time, float32; the same ones for the same seed and number of rows."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, TOGETHER):
        drawn = random.integers(0, rows, (min(TOGETHER, resamples - start), rows), np.int32)
        yield np.stack([np.bincount(one, minlength=rows) for one in drawn], axis=1).astype(np.float32)


def roc_auc(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """For each positive the weight of the negatives below it, and half of that of those level with it."""
    values, positives = _by_value(predicted[truth == 1], weights[truth == 1])
    others = predicted[truth == 0]
    order = np.argsort(others)
    left, right = (np.searchsorted(others[order], values, side) for side in ("left", "right"))
    negatives = weights[truth == 0][order]
    sums = _sums_before(negatives, np.concatenate([left, right]))
    wins = positives * (sums[: len(values)] + sums[len(values) :])
    return _ratio(wins.sum(axis=0) / 2, positives.sum(axis=0) * negatives.sum(axis=0))


def average_precision(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean precision over the steps of recall, equal predictions being one step."""
    values, positives = _by_value(-predicted[truth == 1], weights[truth == 1])
    order = np.argsort(-predicted)
    found = _sums_before(weights[order], np.searchsorted(-predicted[order], values, "right"))
    precision = _ratio(np.cumsum(positives, axis=0), found, empty=0.0)
    return _ratio((positives * precision).sum(axis=0), positives.sum(axis=0))


def _by_value(predicted: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct predictions in order, and their weights [distinct, resamples]."""
    order = np.argsort(predicted)
    values, first = np.unique(predicted[order], return_index=True)
    sums = np.add.reduceat(weights[order], first, axis=0) if len(values) else weights
    return values, sums.astype(float)


def _sums_before(weights: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The sum of the weights before each of the places [places, resamples]."""
    ends, back = np.unique(np.concatenate([[0], places]), return_inverse=True)
    closed = np.concatenate([weights, np.zeros((1, weights.shape[1]), weights.dtype)])
    parts = np.add.reduceat(closed, ends, axis=0).astype(float)
    before = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(parts, axis=0)[:-1]])
    return np.asarray(before[back[1:]])


def f1_at(threshold: float) -> Metric:
    def f1(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        chosen = predicted >= threshold
        hits, positives = (chosen * truth) @ weights, truth @ weights
        return _ratio(2 * hits, np.where(positives > 0, chosen @ weights + positives, 0))

    return f1


def accuracy_at(threshold: float) -> Metric:
    return lambda truth, predicted, weights: _mean((predicted >= threshold) == (truth == 1), weights)


def log_loss(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    likelihood = np.where(truth == 1, predicted, 1 - predicted)
    return _mean(-np.log(np.clip(likelihood, 1e-7, None)), weights)


def brier(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean((predicted - truth) ** 2, weights)


def mae(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return _mean(np.abs(predicted - truth), weights)


def rmse(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(_mean((predicted - truth) ** 2, weights)))


def r2(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    centred = truth - truth.mean()
    spread = _mean(centred**2, weights) - _mean(centred, weights) ** 2
    return np.asarray(1 - _ratio(_mean((predicted - truth) ** 2, weights), spread))


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.asarray(values.astype(float) @ weights / weights.sum(axis=0))


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), empty), where=whole > 0))


def metric_for(name: str, column: Column) -> Metric | None:
    """The metric of this name for a column; None if it is not one of those that can be computed here."""
    if column.kind == NUMBER:
        return {"mae": mae, "rmse": rmse, "r2": r2}.get(name)
    plain: dict[str, Metric] = {
        "roc_auc": roc_auc,
        "average_precision": average_precision,
        "log_loss": log_loss,
        "brier": brier,
    }
    at = {"f1": f1_at, "accuracy": accuracy_at}.get(name)
    if at is None:
        return plain.get(name)
    return at(column.threshold) if column.threshold is not None else None


def enough(column: Column) -> bool:
    """Whether a column has enough of everything for an interval to mean something."""
    if column.kind != LABEL:
        return len(column.truth) >= FEWEST
    positives = int(column.truth.sum())
    return min(positives, len(column.truth) - positives) >= FEWEST


def resampled(name: str, models: Sequence[Sequence[Column]]) -> np.ndarray:
    """The metric [models, 1 + RESAMPLES, columns + 1] of several models on the same rows.

    The first is the value on the rows as they are; the last column is the mean over those that are defined. The
    resamples are the same for all models, so that their differences are paired.
    """
    rows = len(models[0][0].truth)
    parts = [
        np.stack([np.stack([_values(name, column, part) for column in model], axis=1) for model in models])
        for part in (np.ones((rows, 1), np.float32), *weights(rows))
    ]
    values = np.concatenate(parts, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of nothing is nan, which is what it should be
        return np.concatenate([values, np.nanmean(values, axis=2, keepdims=True)], axis=2)


def _values(name: str, column: Column, weights: np.ndarray) -> np.ndarray:
    metric = metric_for(name, column)
    return np.full(weights.shape[1], np.nan) if metric is None else metric(column.truth, column.predicted, weights)


def bounds(values: np.ndarray) -> tuple[float, float] | None:
    """Between which two values the middle share CONFIDENCE of the resamples lies; None if too few are defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < len(values) / 2:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
