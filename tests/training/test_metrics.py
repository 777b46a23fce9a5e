"""The metrics against scikit-learn's, ties and undefined ones included."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from evaluation import metrics


@pytest.fixture(params=["many ties", "few ties", "rare"])
def data(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    truth = (random.random(600) < (0.02 if request.param == "rare" else 0.3)).astype(np.float32)
    scores = np.clip(random.normal(0.3 + 0.2 * truth, 0.2), 0, 1)
    return truth, scores.round(1) if request.param == "many ties" else scores.astype(np.float32)


def test_roc_auc(data: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.roc_auc(*data) == pytest.approx(roc_auc_score(*data), abs=1e-12)


def test_average_precision(data: tuple[np.ndarray, np.ndarray]) -> None:
    assert metrics.average_precision(*data) == pytest.approx(average_precision_score(*data), abs=1e-12)


def test_f1_at_the_best_threshold_is_the_best_f1(data: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = data
    weights = np.random.default_rng(5).uniform(0.1, 2, len(truth))
    threshold = metrics.best_threshold(truth, scores, weights)
    best = max(f1_score(truth, scores >= candidate, sample_weight=weights) for candidate in np.unique(scores))
    assert metrics.f1(truth, scores, threshold, weights) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize(("truth", "auc", "precision"), [([0, 0, 0], None, None), ([1, 1, 1], None, 1.0)])
def test_undefined_metrics_are_none(truth: list[int], auc: float | None, precision: float | None) -> None:
    scores = np.array([0.1, 0.2, 0.3])
    assert metrics.roc_auc(np.array(truth), scores) == auc
    assert metrics.average_precision(np.array(truth), scores) == precision


def test_labels_without_positives_are_null_and_not_in_the_mean() -> None:
    truth, scores = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.5], [0.1, 0.4]])
    chosen = metrics.thresholds(["a", "b"], truth, scores, np.ones(2))
    result = metrics.evaluate(["a", "b"], truth, scores, chosen, np.ones(2))
    perfect = {"roc_auc": 1.0, "average_precision": 1.0, "f1": 1.0}
    undefined = dict.fromkeys(perfect)
    assert result["a"] == {**perfect, "calibration_error": pytest.approx(0.1), "threshold": 0.9, "positives": 1}
    assert result["b"] == {**undefined, "calibration_error": pytest.approx(0.45), "threshold": None, "positives": 0}
    assert result["macro"] == {**perfect, "calibration_error": pytest.approx(0.275)}
    assert "NaN" not in json.dumps(result)


def test_f1_without_a_hit_is_zero() -> None:
    assert metrics.f1(np.array([1, 0]), np.array([0.1, 0.9]), 0.5, np.ones(2)) == 0.0


def test_calibration_error_is_the_mean_gap_between_probability_and_share() -> None:
    scores, truth = np.array([0.1] * 10 + [0.9] * 10), np.array([1] + [0] * 9 + [1] * 5 + [0] * 5)
    assert metrics.calibration_error(truth, scores, np.ones(20)) == pytest.approx(0.2)  # none and 0.4
    assert metrics.calibration_error(truth, scores, np.repeat([3.0, 1.0], 10)) == pytest.approx(0.1)
