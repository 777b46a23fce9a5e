"""Metrics of a model that chooses one of several classes: a row for each class, their mean, the confusion matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlops_scripts.metrics import precision_and_recall
from mlops_scripts.outputs import labels
from mlops_scripts.values import check_lengths, shown


def class_metrics(truth: Iterable[Any], predicted: Iterable[Any], classes: Iterable[Any] = ()) -> dict[str, Any]:
    """Return the keywords of ``write_metrics``: ``rows`` by class and ``macro``, and ``confusion`` for the report.

    ``classes``: their order; by default sorted. ``macro`` has the mean over the classes, and the accuracy over all
    rows.
    """
    expected, guesses = [str(value) for value in truth], [str(value) for value in predicted]
    check_lengths("class_metrics", truth=expected, predicted=guesses)
    pairs = list(zip(expected, guesses, strict=True))
    names = [str(name) for name in classes] or sorted({name for pair in pairs for name in pair})
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


def classes(truth: Sequence[Any], probabilities: Mapping[str, Iterable[Any]]) -> dict[str, dict[str, Any]]:
    """Return ``columns`` for ``write_predictions(..., one_of=True)`` from the probabilities of each class by row."""
    if not isinstance(probabilities, Mapping):
        raise ValueError(
            f"classes: probabilities is {shown(probabilities)}, expected each class's probabilities by its name, "
            "such as dict(zip(names, chances.T))"
        )
    return {
        str(name): labels([int(str(true) == str(name)) for true in truth], chances)
        for name, chances in probabilities.items()
    }


def _mean(values: Sequence[float | int | None]) -> float | None:
    """Return the mean. A class without a value counts as 0, as in scikit-learn."""
    return sum(value or 0.0 for value in values) / len(values) if values else None
