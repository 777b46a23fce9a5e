"""The metrics equal those of scikit-learn, also with ties and undefined values, and for rows in blocks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from evaluation import metrics
from evaluation.metrics import Tally, evaluate


@pytest.fixture(params=["many ties", "few ties", "rare"])
def data(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(4)
    truth = (random.random(600) < (0.02 if request.param == "rare" else 0.3)).astype(np.float32)
    scores = np.clip(random.normal(0.3 + 0.2 * truth, 0.2), 0, 1)
    return truth, scores.round(1) if request.param == "many ties" else scores.astype(np.float32)


def measure(truth: Any, scores: Any, weights: Any = None, threshold: float | None = None) -> dict[str, Any]:
    """Return the metrics of one label."""
    weights = np.ones(len(truth)) if weights is None else weights
    return evaluate(np.array(truth)[:, None], np.array(scores)[:, None], weights, {"a": threshold})["a"]


def test_roc_auc_and_average_precision(data: tuple[np.ndarray, np.ndarray]) -> None:
    measured = measure(*data)
    assert measured["roc_auc"] == pytest.approx(roc_auc_score(*data), abs=1e-4)
    assert measured["average_precision"] == pytest.approx(average_precision_score(*data), abs=1e-4)


def test_f1_at_the_best_threshold_is_the_best_f1(data: tuple[np.ndarray, np.ndarray]) -> None:
    truth, scores = data
    weights = np.random.default_rng(5).uniform(0.1, 2, len(truth))
    threshold = metrics.best_threshold(truth, scores, weights)
    best = max(f1_score(truth, scores >= candidate, sample_weight=weights) for candidate in np.unique(scores))
    assert measure(truth, scores, weights, threshold)["f1"] == pytest.approx(best, abs=1e-12)


def test_metrics_of_blocks_are_those_of_all_rows() -> None:
    """There are 200,000 rows with rare positives, and scores near 0 as for a rare label."""
    random = np.random.default_rng(6)
    truth = (random.random((200_000, 2)) < [0.003, 0.1]).astype(np.float32)
    scores = 1 / (1 + np.exp(8 - 5 * truth - 1.5 * random.normal(size=truth.shape)))
    weights, thresholds = random.uniform(0.1, 2, len(truth)), {"rare": 0.02, "common": 0.1}
    tally = Tally(thresholds)
    for rows in np.split(np.arange(len(truth)), [0, 7, 65_536, 131_072]):
        tally.add(truth[rows], scores[rows], weights[rows])
    measured = tally.metrics()
    for n, (label, threshold) in enumerate(thresholds.items()):
        true, its_scores = truth[:, n], scores[:, n]
        bins = np.minimum((its_scores * 15).astype(int), 14)
        gaps = [abs(np.sum((weights * (true - its_scores))[bins == number])) for number in range(15)]
        assert measured[label] == {
            "roc_auc": pytest.approx(roc_auc_score(true, its_scores), abs=1e-6),
            "average_precision": pytest.approx(average_precision_score(true, its_scores), abs=1e-4),
            "f1": pytest.approx(f1_score(true, its_scores >= threshold, sample_weight=weights), abs=1e-12),
            "calibration_error": pytest.approx(sum(gaps) / weights.sum(), abs=1e-12),
            "threshold": threshold,
            "positives": true.sum(),
        }


@pytest.mark.parametrize(("truth", "auc", "precision"), [([0, 0, 0], None, None), ([1, 1, 1], None, 1.0)])
def test_undefined_metrics_are_none(truth: list[int], auc: float | None, precision: float | None) -> None:
    measured = measure(truth, [0.1, 0.2, 0.3])
    assert (measured["roc_auc"], measured["average_precision"]) == (auc, precision)


def test_certain_scores_are_the_highest_and_the_lowest() -> None:
    assert measure([1, 0, 1, 0], [1.0, 0.0, 0.99, 0.01])["roc_auc"] == 1.0


def test_labels_without_positives_are_null_and_not_in_the_mean() -> None:
    truth, scores = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.5], [0.1, 0.4]])
    chosen = metrics.thresholds(["a", "b"], truth, scores, np.ones(2))
    result = evaluate(truth, scores, np.ones(2), chosen)
    perfect = {"roc_auc": 1.0, "average_precision": 1.0, "f1": 1.0}
    undefined = dict.fromkeys(perfect)
    assert result["a"] == {**perfect, "calibration_error": pytest.approx(0.1), "threshold": 0.9, "positives": 1}
    assert result["b"] == {**undefined, "calibration_error": pytest.approx(0.45), "threshold": None, "positives": 0}
    assert result["macro"] == {**perfect, "calibration_error": pytest.approx(0.275)}
    assert "NaN" not in json.dumps(result)


def test_f1_without_a_hit_is_zero() -> None:
    assert measure([1, 0], [0.1, 0.9], threshold=0.5)["f1"] == 0.0


def test_calibration_error_is_the_mean_gap_between_probability_and_share() -> None:
    scores, truth = [0.1] * 10 + [0.9] * 10, [1] + [0] * 9 + [1] * 5 + [0] * 5
    assert measure(truth, scores)["calibration_error"] == pytest.approx(0.2)  # none and 0.4
    assert measure(truth, scores, np.repeat([3.0, 1.0], 10))["calibration_error"] == pytest.approx(0.1)
