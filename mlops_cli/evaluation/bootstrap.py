"""Metrics under resampling: ``weights`` [rows, resamples] count each test row in each resample.

A metric is built once from the truth and the predictions [rows]. It returns one value per resample for any weights; nan
if undefined. It uses matrix arithmetic and sorts nothing for each resample.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mlops_cli.core.models.comparison import CONFIDENCE
from mlops_cli.evaluation.predictions import LABEL, NUMBER, Column

RESAMPLES = 1000
SEED = 42
# A batch of resamples that fits into the processor's cache.
TOGETHER = 64
# Fewer positives (or negatives) give no meaningful interval.
FEWEST = 5

Metric = Callable[[np.ndarray], np.ndarray]


def weights(rows: int, resamples: int = RESAMPLES, seed: int = SEED) -> Iterator[np.ndarray]:
    """Yield resamples with replacement in batches, float32. The seed and the number of rows determine them."""
    random = np.random.default_rng(seed)
    for start in range(0, resamples, TOGETHER):
        drawn = random.integers(0, rows, (min(TOGETHER, resamples - start), rows), np.int32)
        yield np.stack([np.bincount(rows_drawn, minlength=rows) for rows_drawn in drawn], axis=1).astype(np.float32)


def roc_auc(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    """Return ROC AUC: for each positive the weight of the negatives below it, and half the weight of its ties."""
    values, of_value = _sort_by_value(predicted, np.flatnonzero(truth == 1))
    negatives = np.flatnonzero(truth == 0)
    negatives = negatives[np.argsort(predicted[negatives])]
    below, up_to = (np.searchsorted(predicted[negatives], values, side) for side in ("left", "right"))
    before = _sums_before(negatives, np.concatenate([below, up_to]))

    def metric(weights: np.ndarray) -> np.ndarray:
        positives, sums = of_value(weights), before(weights)
        wins = positives * (sums[: len(values)] + sums[len(values) : -1])
        return _ratio(wins.sum(axis=0) / 2, positives.sum(axis=0) * sums[-1])

    return metric


def average_precision(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    """Return the mean precision over the steps of recall. Equal predictions are one step."""
    values, of_value = _sort_by_value(-predicted, np.flatnonzero(truth == 1))
    order = np.argsort(-predicted)
    before = _sums_before(order, np.searchsorted(-predicted[order], values, "right"))

    def metric(weights: np.ndarray) -> np.ndarray:
        positives = of_value(weights)
        precision = _ratio(np.cumsum(positives, axis=0), before(weights)[:-1], empty=0.0)
        return _ratio((positives * precision).sum(axis=0), positives.sum(axis=0))

    return metric


def _sort_by_value(predicted: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, Metric]:
    """Return the sorted distinct predictions of some rows, and a function of their weights [distinct, resamples]."""
    rows = rows[np.argsort(predicted[rows])]
    values, first = np.unique(predicted[rows], return_index=True)
    return values, lambda weights: np.add.reduceat(weights[rows], first, axis=0).astype(float)


def _sums_before(rows: np.ndarray, positions: np.ndarray) -> Metric:
    """Return a function that sums the weights of ``rows`` before each position, and of all rows.

    Its result is [positions + 1, resamples].
    """
    ends, back = np.unique(np.concatenate([[0], positions, [len(rows)]]), return_inverse=True)

    def sums(weights: np.ndarray) -> np.ndarray:
        parts = np.add.reduceat(weights[rows], ends[:-1], axis=0).astype(float)
        before = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(parts, axis=0)])
        return np.asarray(before[back[1:]])

    return sums


def f1(truth: np.ndarray, predicted: np.ndarray, threshold: float) -> Metric:
    chosen, true = (predicted >= threshold).astype(np.float32), truth.astype(np.float32)
    matrix = np.stack([chosen * true, true, chosen])

    def metric(weights: np.ndarray) -> np.ndarray:
        hits, positives, predicted = matrix @ weights
        return _ratio(2 * hits, np.where(positives > 0, predicted + positives, 0))

    return metric


def accuracy(truth: np.ndarray, predicted: np.ndarray, threshold: float) -> Metric:
    return _mean((predicted >= threshold) == (truth == 1))


def precision(truth: np.ndarray, predicted: np.ndarray, threshold: float) -> Metric:
    """Return the precision; 0 if no row is predicted positive."""
    return _share_of_hits(truth == 1, predicted >= threshold, 0.0)


def recall(truth: np.ndarray, predicted: np.ndarray, threshold: float) -> Metric:
    return _share_of_hits(predicted >= threshold, truth == 1, np.nan)


def _share_of_hits(first: np.ndarray, second: np.ndarray, empty: float) -> Metric:
    """Return the share of the rows of ``second`` that are also in ``first``."""
    matrix = np.stack([first & second, second]).astype(np.float32)

    def metric(weights: np.ndarray) -> np.ndarray:
        hits, rows = matrix @ weights
        return _ratio(hits, rows, empty)

    return metric


def log_loss(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    likelihood = np.where(truth == 1, predicted, 1 - predicted)
    return _mean(-np.log(np.clip(likelihood, 1e-7, None)))


def brier(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    return _mean((predicted - truth) ** 2)


def mae(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    return _mean(np.abs(predicted - truth))


def rmse(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    mean = _mean((predicted - truth) ** 2)
    return lambda weights: np.sqrt(mean(weights))


def mape(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    """Return the mean absolute error as a share of the truth; undefined if a true value is 0."""
    if not truth.all():
        return lambda weights: np.full(weights.shape[1], np.nan)
    return _mean(np.abs((predicted - truth) / truth))


def r2(truth: np.ndarray, predicted: np.ndarray) -> Metric:
    centred = truth - truth.mean()
    error, spread, middle = _mean((predicted - truth) ** 2), _mean(centred**2), _mean(centred)
    return lambda weights: 1 - _ratio(error(weights), spread(weights) - middle(weights) ** 2)


def _mean(values: np.ndarray) -> Metric:
    """Return the mean. Values are divided by the largest one first, so that single precision is enough."""
    unit = float(np.abs(values).max()) or 1.0
    scaled = (values / unit).astype(np.float32)
    return lambda weights: (scaled @ weights).astype(float) / weights.sum(axis=0) * unit


def _ratio(part: np.ndarray, whole: np.ndarray, empty: float = np.nan) -> np.ndarray:
    whole = np.asarray(whole, float)
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(whole), empty), where=whole > 0))


PLAIN = {"roc_auc": roc_auc, "average_precision": average_precision, "log_loss": log_loss, "brier": brier}
AT_THRESHOLD = {"f1": f1, "accuracy": accuracy, "precision": precision, "recall": recall}
OF_NUMBERS = {"mae": mae, "rmse": rmse, "mape": mape, "r2": r2}


def metric_for(name: str, column: Column) -> Metric | None:
    """Return the metric with this name for a column; None if it is not implemented."""
    if column.kind == NUMBER:
        return OF_NUMBERS[name](column.truth, column.predicted) if name in OF_NUMBERS else None
    if column.chosen is not None and column.hits is not None and name in AT_THRESHOLD:
        # The accuracy is the same number for all classes, so their mean is this number, too.
        return _mean(column.hits) if name == "accuracy" else AT_THRESHOLD[name](column.truth, column.chosen, 1.0)
    if name in AT_THRESHOLD and column.threshold is not None:
        return AT_THRESHOLD[name](column.truth, column.predicted, column.threshold)
    return PLAIN[name](column.truth, column.predicted) if name in PLAIN else None


def has_enough_rows(column: Column) -> bool:
    """True if a column has enough rows of every class for a meaningful interval."""
    if column.kind != LABEL:
        return len(column.truth) >= FEWEST
    positives = int(column.truth.sum())
    return min(positives, len(column.truth) - positives) >= FEWEST


def resample(name: str, models: Sequence[Sequence[Column]]) -> np.ndarray:
    """Return the metric [models, 1 + RESAMPLES, columns + 1] of several models on the same rows.

    Resample 0 is the value on the unchanged rows. The last column is the mean over the defined columns. All models have
    the same resamples, so their differences are paired.
    """
    rows = len(models[0][0].truth)
    metrics = [[metric_for(name, column) or _undefined for column in model] for model in models]
    parts = [
        np.stack([np.stack([metric(part) for metric in model], axis=1) for model in metrics])
        for part in itertools.chain([np.ones((rows, 1), np.float32)], weights(rows))
    ]
    values = np.concatenate(parts, axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the mean of an empty slice is nan, as intended
        return np.concatenate([values, np.nanmean(values, axis=2, keepdims=True)], axis=2)


def resample_means(models: Sequence[np.ndarray]) -> np.ndarray:
    """Return the means [models, 1 + RESAMPLES] of values of the same rows. Index 0: the unchanged rows."""
    rows, metrics = len(models[0]), [_mean(values) for values in models]
    drawn = itertools.chain([np.ones((rows, 1), np.float32)], weights(rows))
    return np.concatenate([np.stack([metric(part) for metric in metrics]) for part in drawn], axis=1)


def _undefined(weights: np.ndarray) -> np.ndarray:
    return np.full(weights.shape[1], np.nan)


def confidence_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the bounds of the middle share CONFIDENCE of the resamples; None if too few are defined."""
    defined = values[np.isfinite(values)]
    if len(defined) < len(values) / 2:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
