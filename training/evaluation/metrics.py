"""Metrics of a multi-label classifier from its scores, in numpy. An undefined metric is None, never nan.

The rows come in blocks. A Tally counts them in the same memory for any number of rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

Metrics = dict[str, dict[str, Any]]

# For ROC AUC and average precision the scores of a bin are equal: bins of the log-odds, each 0.00006 wide.
SCORE_BINS, LARGEST_LOGIT = 1 << 19, 16
CALIBRATION_BINS = 15
_AVERAGED = ("roc_auc", "average_precision", "f1", "calibration_error")


class Tally:
    """Counts of rows, for the metrics of each label of ``thresholds``.

    ROC AUC and average precision use the unweighted rows, because they measure separation. F1 and calibration error
    depend on a label's frequency, so they use the weighted rows.
    """

    def __init__(self, thresholds: Mapping[str, float | None]) -> None:
        self._thresholds, count = thresholds, len(thresholds)
        self._scores = np.zeros([count, 2, SCORE_BINS], np.uint32)  # of negatives, of positives
        self._weight = 0.0
        self._decisions = np.zeros([count, 3])  # the weight of true positives, of predicted and of true ones
        self._gaps = np.zeros([count, CALIBRATION_BINS])

    def add(self, truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> None:
        """Count rows: ``truth`` and ``scores`` are [rows, labels], ``weights`` [rows]."""
        self._weight += float(weights.sum())
        for n, threshold in enumerate(self._thresholds.values()):
            true, its_scores = truth[:, n] > 0, scores[:, n]
            bins = _score_bins(its_scores)
            for kind in (0, 1):
                self._scores[n, kind] += np.bincount(bins[true == kind], minlength=SCORE_BINS).astype(np.uint32)
            predicted = its_scores >= (np.inf if threshold is None else threshold)
            self._decisions[n] += [weights[rows].sum() for rows in (true & predicted, predicted, true)]
            self._gaps[n] += calibration_gaps(true, its_scores, weights)

    def metrics(self) -> Metrics:
        """Return the metrics of each label, and their means over the labels that have them ("macro")."""
        rows: Metrics = {}
        for n, (label, threshold) in enumerate(self._thresholds.items()):
            negatives, positives = self._scores[n]
            rows[label] = {
                "roc_auc": roc_auc(negatives, positives),
                "average_precision": average_precision(negatives, positives),
                "f1": None if threshold is None else f1(*self._decisions[n]),
                "calibration_error": float(np.abs(self._gaps[n]).sum() / self._weight),
                "threshold": threshold,
                "positives": int(positives.sum()),
            }
        rows["macro"] = {name: mean([rows[label][name] for label in self._thresholds]) for name in _AVERAGED}
        return rows


def evaluate(
    truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, thresholds: Mapping[str, float | None]
) -> Metrics:
    """Return the metrics of rows in one block."""
    tally = Tally(thresholds)
    tally.add(truth, scores, weights)
    return tally.metrics()


def roc_auc(negatives: np.ndarray, positives: np.ndarray) -> float | None:
    """Return the probability that a positive scores above a negative; a tie counts half. None without both.

    The arguments are the numbers of rows by score, from the lowest up.
    """
    pairs = float(positives.sum()) * float(negatives.sum())
    return float(positives @ (np.cumsum(negatives) - negatives / 2)) / pairs if pairs else None


def average_precision(negatives: np.ndarray, positives: np.ndarray) -> float | None:
    """Return the mean precision over the steps of recall. Equal scores are one step. None without positives."""
    hits, rows = (np.cumsum(counts[::-1]) for counts in (positives, positives + negatives))
    return float(positives[::-1] @ (hits / np.maximum(rows, 1)) / hits[-1]) if hits[-1] else None


def f1(hits: float, predicted: float, true: float) -> float | None:
    """Return F1 of the weights of true positives, of predicted positives and of positives; None without positives."""
    return float(2 * hits / (predicted + true)) if true else None


def calibration_gaps(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of truth - score in each of equal bins of the scores.

    Their absolute sum is the expected calibration error, times the weight of all rows.
    """
    bins = np.minimum((scores * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return np.asarray(np.bincount(bins, weights * (truth - scores), minlength=CALIBRATION_BINS))


def thresholds(
    labels: list[str], truth: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[str, float | None]:
    """Return the best threshold of each label. ``truth`` and ``scores`` are [rows, labels]."""
    return {label: best_threshold(truth[:, n], scores[:, n], weights) for n, label in enumerate(labels)}


def best_threshold(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float | None:
    """Return the lowest "positive" score with the highest F1; None without positives."""
    if not truth.sum():
        return None
    order = np.argsort(-scores, kind="stable")
    hits, predicted = np.cumsum((weights * truth)[order]), np.cumsum(weights[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return float(scores[order][ends][np.argmax((hits / (predicted + hits[-1]))[ends])])


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the defined values."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _score_bins(scores: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logits = np.log(scores) - np.log1p(-scores)
    places = (np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT) + LARGEST_LOGIT) / (2 * LARGEST_LOGIT)
    return np.asarray(np.minimum(places * SCORE_BINS, SCORE_BINS - 1).astype(np.int32))
