"""A model that predicts one of several classes: its metrics equal scikit-learn's; its comparison and its file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from mlops_cli.errors import MlopsError
from mlops_cli.evaluation.bootstrap import resample
from mlops_cli.evaluation.champion_challenger import compare
from mlops_cli.evaluation.predictions import Predictions, read_predictions

CLASSES = ("billing", "delivery", "other")


def document(
    quality: float = 1.5, seed: int = 1, rows: int = 400, classes: tuple[str, ...] = CLASSES
) -> dict[str, Any]:
    truth = np.random.default_rng(0).integers(0, len(CLASSES), rows)
    scores = np.random.default_rng(seed).normal(size=(rows, len(CLASSES)))
    scores[np.arange(rows), truth] += quality
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    columns = {
        name: {"kind": "label", "truth": (truth == index).astype(int).tolist(), "predicted": chances[:, index].tolist()}
        for index, name in enumerate(CLASSES)
        if name in classes
    }
    names = [f"{index:016x}" for index in range(rows)]
    return {"split": "test", "of": rows, "rows": names, "columns": columns, "one_of": True}


def predictions(**changes: Any) -> Predictions:
    return read_predictions(json.dumps(document(**changes)).encode())


def truth_and_choice(predicted: Predictions) -> tuple[np.ndarray, np.ndarray]:
    truth = np.stack([column.truth for column in predicted.columns]).argmax(axis=0)
    return truth, np.stack([column.predicted for column in predicted.columns]).argmax(axis=0)


@pytest.mark.parametrize("name", ["f1", "precision", "recall"])
def test_each_class_and_their_mean_are_those_of_scikit_learn(name: str) -> None:
    predicted = predictions()
    truth, choice = truth_and_choice(predicted)
    score = getattr(sklearn_metrics, f"{name}_score")
    expected = [*score(truth, choice, average=None), score(truth, choice, average="macro")]
    assert resample(name, [predicted.measured])[0, 0].tolist() == pytest.approx(expected)


def test_the_accuracy_is_one_number() -> None:
    predicted = predictions()
    truth, choice = truth_and_choice(predicted)
    values = resample("accuracy", [predicted.measured])[0, 0]
    assert values.tolist() == pytest.approx([float((truth == choice).mean())] * 4)
    comparison = compare("accuracy", predicted, predictions(quality=0.5, seed=2))
    assert [delta.name for delta in comparison.differences] == ["macro"]


def test_the_matrix_is_that_of_scikit_learn() -> None:
    predicted = predictions()
    expected = sklearn_metrics.confusion_matrix(*truth_and_choice(predicted))
    assert predicted.confusion() == expected.tolist()


def test_a_better_model_is_better_beyond_noise_by_the_mean_of_the_classes() -> None:
    comparison = compare("f1", predictions(quality=2.5), predictions(quality=0.5, seed=2))
    overall = comparison.overall
    assert overall is not None
    assert (overall.name, [delta.name for delta in comparison.differences[:-1]]) == ("macro", list(CLASSES))
    assert overall.low is not None
    assert overall.low > 0


def test_models_with_other_classes_are_compared_on_those_that_both_know() -> None:
    comparison = compare("f1", predictions(), read_predictions(json.dumps(two_classes()).encode()))
    assert [delta.name for delta in comparison.differences] == ["billing", "delivery", "macro"]


def two_classes() -> dict[str, Any]:
    """Return a live model that knows only two of the classes."""
    other_document = document(seed=3, classes=CLASSES[:2])
    other_document["columns"]["delivery"]["truth"] = [
        1 - value for value in other_document["columns"]["billing"]["truth"]
    ]
    return other_document


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda content: content["columns"]["billing"]["truth"].__setitem__(0, 1),
            "exactly one label of each row is 1",
        ),
        (lambda content: content["columns"]["other"].update(kind="number"), "every column is a label"),
    ],
)
def test_rows_without_exactly_one_class_are_refused(change: Any, problem: str) -> None:
    content = document()
    content["columns"]["billing"]["truth"][0] = content["columns"]["delivery"]["truth"][0] = 0
    content["columns"]["other"]["truth"][0] = 1
    change(content)
    with pytest.raises(MlopsError, match=problem):
        read_predictions(json.dumps(content).encode())


def test_the_mape_is_that_of_scikit_learn_and_undefined_with_a_zero() -> None:
    truth, predicted = np.array([1.0, 2.0, 4.0]), np.array([1.5, 2.0, 3.0])
    share = sklearn_metrics.mean_absolute_percentage_error(truth, predicted)
    for values, expected in (
        (truth, share),
        (truth - 1, None),
    ):
        columns = {"price": {"kind": "number", "truth": values.tolist(), "predicted": predicted.tolist()}}
        content = {"split": "test", "of": 3, "rows": ["a", "b", "c"], "columns": columns}
        value = resample("mape", [read_predictions(json.dumps(content).encode()).columns])[0, 0, 0]
        assert np.isnan(value) if expected is None else value == pytest.approx(expected)
