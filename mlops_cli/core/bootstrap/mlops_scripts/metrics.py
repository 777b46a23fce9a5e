"""Metrics of one label or one number, as a row of metrics.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mlops_scripts.values import check_lengths, labels_of, numbers_of

Row = dict[str, "float | int | None"]


def label_metrics(truth: Iterable[Any], probability: Iterable[Any], threshold: float = 0.5) -> Row:
    """Return accuracy, precision, recall, f1 and roc_auc of a label; None for a metric that is undefined here."""
    true = labels_of("label_metrics", "truth", truth)
    chances = numbers_of("label_metrics", "probability", probability)
    check_lengths("label_metrics", truth=true, probability=chances)
    predicted = [int(chance >= threshold) for chance in chances]
    return {
        "accuracy": _share(sum(a == b for a, b in zip(true, predicted, strict=True)), len(true)),
        **precision_and_recall([bool(value) for value in true], [bool(value) for value in predicted]),
        "roc_auc": roc_auc(true, chances),
        "rows": len(true),
    }


def number_metrics(truth: Iterable[Any], predicted: Iterable[Any]) -> Row:
    """Return rmse, mae, mape (a share; only if no true value is zero) and r2 of predicted numbers."""
    expected = numbers_of("number_metrics", "truth", truth)
    values = numbers_of("number_metrics", "predicted", predicted)
    check_lengths("number_metrics", truth=expected, predicted=values)
    pairs = list(zip(expected, values, strict=True))
    count = len(pairs)
    squares = sum((value - true) ** 2 for true, value in pairs)
    mean = sum(true for true, _ in pairs) / count if count else 0.0
    spread = sum((true - mean) ** 2 for true, _ in pairs)
    has_zero = any(true == 0 for true, _ in pairs)
    return {
        "rmse": (squares / count) ** 0.5 if count else None,
        "mae": _share(sum(abs(value - true) for true, value in pairs), count),
        "mape": None if has_zero else _share(sum(abs((value - true) / true) for true, value in pairs), count),
        "r2": 1 - squares / spread if spread else None,
        "rows": count,
    }


def precision_and_recall(true: Sequence[bool], predicted: Sequence[bool]) -> Row:
    """Return precision, recall and f1. f1 is 0 for a class that is predicted for no row."""
    hits = sum(a and b for a, b in zip(true, predicted, strict=True))
    return {
        "precision": _share(hits, sum(predicted)),
        "recall": _share(hits, sum(true)),
        "f1": _share(2 * hits, sum(true) + sum(predicted)),
    }


def roc_auc(truth: Sequence[int], scores: Sequence[float]) -> float | None:
    """Return the probability that a positive row has a higher score than a negative one. A tie counts half."""
    order = sorted(range(len(scores)), key=lambda position: scores[position])
    positives = sum(truth)
    negatives = len(truth) - positives
    if not positives or not negatives:
        return None
    ranks, start = 0.0, 0
    while start < len(order):
        end = start
        while end < len(order) and scores[order[end]] == scores[order[start]]:
            end += 1
        ranks += (start + end + 1) / 2 * sum(truth[position] for position in order[start:end])
        start = end
    return (ranks - positives * (positives + 1) / 2) / (positives * negatives)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
