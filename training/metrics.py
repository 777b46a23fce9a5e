"""Metrics of a multi-label classifier from its scores, in numpy. Undefined ones are None, never nan."""

from __future__ import annotations

from typing import Any

import numpy as np

Metrics = dict[str, dict[str, Any]]


def roc_auc(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """The chance that a positive scores above a negative, a tie counting half; None without one of the two."""
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2  # equal scores share the mean of their ranks
    rank_sum = float(mean_rank[place][truth == 1].sum())
    return (rank_sum - positives * (positives + 1) / 2) / (positives * negatives)


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """The mean precision over the steps of recall, equal scores being one step; None without positives."""
    if not truth.sum():
        return None
    precision, recall, _ = precision_recall(truth, scores)
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def f1(truth: np.ndarray, scores: np.ndarray, threshold: float | None) -> float | None:
    """F1 of "score >= threshold is positive"; None without positives or without a threshold."""
    if threshold is None or not truth.sum():
        return None
    predicted = scores >= threshold
    hits = int(np.sum(truth[predicted]))
    return 2 * hits / (int(predicted.sum()) + int(truth.sum()))


def best_threshold(truth: np.ndarray, scores: np.ndarray) -> float | None:
    """The score from which on "positive" gives the highest F1; None without positives."""
    if not truth.sum():
        return None
    precision, recall, thresholds = precision_recall(truth, scores)
    total = np.maximum(precision + recall, np.finfo(float).tiny)
    return float(thresholds[np.argmax(2 * precision * recall / total)])


def precision_recall(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision and recall for each distinct score as threshold, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order], dtype=np.int64)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    return hits[ends] / (ends + 1), hits[ends] / hits[-1], scores[order][ends]


def thresholds(labels: list[str], truth: np.ndarray, scores: np.ndarray) -> dict[str, float | None]:
    """The best threshold of each label; ``truth`` and ``scores`` are [rows, labels]."""
    return {label: best_threshold(truth[:, n], scores[:, n]) for n, label in enumerate(labels)}


def evaluate(labels: list[str], truth: np.ndarray, scores: np.ndarray, chosen: dict[str, float | None]) -> Metrics:
    """Metrics of each label, and their means over the labels that have them ("macro")."""
    rows: Metrics = {}
    for n, label in enumerate(labels):
        its_truth, its_scores = truth[:, n], scores[:, n]
        rows[label] = {
            "roc_auc": roc_auc(its_truth, its_scores),
            "average_precision": average_precision(its_truth, its_scores),
            "f1": f1(its_truth, its_scores, chosen[label]),
            "threshold": chosen[label],
            "positives": int(its_truth.sum()),
        }
    rows["macro"] = {name: mean([rows[label][name] for label in labels]) for name in _AVERAGED}
    return rows


_AVERAGED = ("roc_auc", "average_precision", "f1")


def mean(values: list[float | None]) -> float | None:
    """The mean of those that are defined."""
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None
