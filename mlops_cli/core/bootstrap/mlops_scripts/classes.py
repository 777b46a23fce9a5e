"""Metrics of a model that chooses one of several classes: a row for each class, their mean, the confusion matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops_scripts.metrics import precision_and_recall


def class_metrics(truth: Sequence[str], predicted: Sequence[str], classes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the keywords of ``write_metrics``: ``rows`` by class and ``macro``, and ``confusion`` for the report.

    ``classes``: their order; by default sorted. ``macro`` has the mean of the classes and the accuracy over all rows.
    """
    names = [str(name) for name in classes] or sorted({str(name) for name in (*truth, *predicted)})
    pairs = [(str(true), str(guess)) for true, guess in zip(truth, predicted, strict=True)]
    unknown = sorted({name for pair in pairs for name in pair} - set(names))
    if unknown:
        raise ValueError(f"not among the classes: {', '.join(unknown)}")
    rows = {
        name: {
            **precision_and_recall([true == name for true, _ in pairs], [guess == name for _, guess in pairs]),
            "rows": sum(true == name for true, _ in pairs),
        }
        for name in names
    }
    macro = {metric: _mean([row[metric] for row in rows.values()]) for metric in ("precision", "recall", "f1")}
    hits = sum(true == guess for true, guess in pairs)
    macro |= {"accuracy": hits / len(pairs) if pairs else None}
    counts = [[pairs.count((true, guess)) for guess in names] for true in names]
    return {"rows": {**rows, "macro": {**macro, "rows": len(pairs)}}, "confusion": {"classes": names, "counts": counts}}


def classes_as_labels(
    truth: Sequence[str], probabilities: Sequence[Mapping[str, float]]
) -> dict[str, dict[str, list[Any]]]:
    """Return the ``columns`` of ``write_predictions``: each class as a label of its own, without a threshold."""
    from mlops_scripts.outputs import labels

    names = list(probabilities[0]) if probabilities else []
    return {
        name: labels([int(str(true) == name) for true in truth], [row[name] for row in probabilities]) for name in names
    }


def _mean(values: Sequence[float | int | None]) -> float | None:
    """Return the mean; a class without a value counts as 0, as scikit-learn has it."""
    return sum(value or 0.0 for value in values) / len(values) if values else None
