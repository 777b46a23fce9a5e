"""Metrics of a multi-label classifier from its scores, in numpy. An undefined metric is None, never nan."""

from __future__ import annotations

from typing import Any

import numpy as np

Metrics = dict[str, dict[str, Any]]


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the probability that a positive scores above a negative; a tie counts half. None without both."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2  # equal scores share the mean of their ranks
    rank_sum = float(mean_rank[inverse][truth == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """Return the mean precision over the steps of recall. Equal scores are one step. None without positives."""
    if not truth.sum():
        return None
    precision, recall = precision_recall(truth, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def f1(truth: np.ndarray, scores: np.ndarray, threshold: float | None, weights: np.ndarray) -> float | None:
    """Return F1 if scores >= threshold are positive; None without positives or a threshold."""
    if threshold is None or not truth.sum():
        return None
    predicted = scores >= threshold
    return float(2 * (weights * truth)[predicted].sum() / (weights[predicted].sum() + (weights * truth).sum()))


def best_threshold(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> float | None:
    """Return the threshold with the highest F1; None without positives."""
    if not truth.sum():
        return None
    order = np.argsort(-scores, kind="stable")
    hits, predicted = np.cumsum((weights * truth)[order]), np.cumsum(weights[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return float(scores[order][ends][np.argmax((hits / (predicted + hits[-1]))[ends])])


def calibration_error(truth: np.ndarray, scores: np.ndarray, weights: np.ndarray, bins: int = 15) -> float:
    """Return the expected calibration error: by bins, the mean distance of probability and positive share."""
    bin_indices = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_indices, weights * (truth - scores), minlength=bins)
    return float(np.abs(gaps).sum() / weights.sum())


def precision_recall(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return precision and recall with each distinct score as threshold, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order], dtype=np.int64)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return hits[ends] / (ends + 1), hits[ends] / hits[-1]


def thresholds(
    labels: list[str], truth: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> dict[str, float | None]:
    """Return the best threshold of each label. ``truth`` and ``scores`` are [rows, labels]."""
    return {label: best_threshold(truth[:, n], scores[:, n], weights) for n, label in enumerate(labels)}


def evaluate(
    labels: list[str], truth: np.ndarray, scores: np.ndarray, chosen: dict[str, float | None], weights: np.ndarray
) -> Metrics:
    """Return metrics of each label, and their means over the labels that have them ("macro").

    ROC AUC and average precision use the unweighted rows, because they measure separation. F1 and calibration error
    depend on a label's frequency, so they use rows weighted by ``weights`` [rows].
    """
    rows: Metrics = {}
    for n, label in enumerate(labels):
        its_truth, its_scores = truth[:, n], scores[:, n]
        rows[label] = {
            "roc_auc": roc_auc(its_truth, its_scores),
            "average_precision": average_precision(its_truth, its_scores),
            "f1": f1(its_truth, its_scores, chosen[label], weights),
            "calibration_error": calibration_error(its_truth, its_scores, weights),
            "threshold": chosen[label],
            "positives": int(its_truth.sum()),
        }
    rows["macro"] = {name: mean([rows[label][name] for label in labels]) for name in _AVERAGED}
    return rows


_AVERAGED = ("roc_auc", "average_precision", "f1", "calibration_error")


def mean(values: list[float | None]) -> float | None:
    """Return the mean of the defined values."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
