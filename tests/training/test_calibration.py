"""Calibrated probabilities equal the frequencies at the rates of production."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation import metrics
from model.calibration import PLAIN, Calibration, calibrate, read_rates, representative, uncalibrated

LABELS = ["common", "rare"]


def drawn(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two labels with rates of 10 % and 2 %, the second one only with the first, and their logits."""
    random = np.random.default_rng(seed)
    common = random.random(rows) < 0.1
    truth = np.stack([common, common & (random.random(rows) < 0.2)], 1).astype(np.float32)
    return truth, (random.normal(size=(rows, 2)) + 3 * truth - 2).astype(np.float32)


def weights_of(truth: np.ndarray, rates: dict[str, float]) -> np.ndarray:
    return representative(LABELS, *np.unique(truth, axis=0, return_counts=True), rates).of(truth)


def enriched(truth: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows with a positive label, and some of the others."""
    kept = truth.any(axis=1) | (np.arange(len(truth)) % 10 == 0)
    return truth[kept], logits[kept]


def test_weights_give_every_label_its_stated_rate_and_depend_on_labels_alone() -> None:
    truth, _ = enriched(*drawn(20_000, 1))
    weights = weights_of(truth, {"common": 0.1, "rare": 0.02})
    np.testing.assert_allclose(weights @ truth / len(truth), [0.1, 0.02], atol=1e-6)
    assert weights.mean() == pytest.approx(1)
    combinations = truth @ [1, 2]
    assert all(np.ptp(weights[combinations == code]) < 1e-9 for code in np.unique(combinations))


@pytest.mark.parametrize("rates", [{}, {"rare": 0.5}], ids=["none stated", "a label without positives"])
def test_without_rates_all_rows_have_the_same_weight(rates: dict[str, float]) -> None:
    truth = np.array([[1, 0], [0, 0], [0, 0]], np.float32)
    np.testing.assert_allclose(weights_of(truth, rates), np.ones(3))


def test_probabilities_calibrated_on_enriched_rows_are_right_on_natural_rows() -> None:
    truth, logits = enriched(*drawn(40_000, 2))
    natural_truth, natural_logits = drawn(40_000, 3)

    def error(rates: dict[str, float]) -> float:
        weights = weights_of(truth, rates)
        calibration = calibrate(logits, truth, weights)
        probabilities = calibration.probabilities(natural_logits)
        ones = np.ones(len(probabilities))
        of_labels = metrics.evaluate(natural_truth, probabilities, ones, dict.fromkeys(LABELS))
        return float(of_labels["common"]["calibration_error"])

    assert error({"common": 0.1, "rare": 0.02}) < 0.01
    assert error({}) > 0.03


def test_a_label_without_positives_stays_near_the_network_s_probabilities() -> None:
    logits = np.random.default_rng(1).normal(size=(200, 1))
    calibration = calibrate(logits, np.zeros([200, 1]), np.ones(200))
    assert np.isfinite(calibration).all()
    np.testing.assert_allclose([calibration.low[0], calibration.high[0]], PLAIN[:2], atol=0.5)


def test_a_network_too_careful_at_one_end_and_too_sure_at_the_other_is_right_at_both() -> None:
    random = np.random.default_rng(4)
    logits = random.normal(-2, 3, size=(40_000, 1))
    answer = Calibration(*np.array([[1.4], [0.7], [0.5]]))
    truth = random.random(logits.shape) < answer.probabilities(logits)
    fitted = calibrate(logits, truth.astype(np.float32), np.ones(len(logits)))
    np.testing.assert_allclose(fitted, answer, atol=0.1)


@pytest.mark.parametrize("side", [1, -1])
def test_the_order_of_the_rows_stays_where_the_best_fit_would_turn_it_round(side: int) -> None:
    random = np.random.default_rng(3)
    logits = random.normal(0, 3, (20_000, 1))
    turned = side * logits > 1  # at one end, a higher probability of the network means a lower one
    truth = (random.random(logits.shape) < 1 / (1 + np.exp(-np.where(turned, 2 * side - logits, logits)))).astype(float)
    calibration = calibrate(logits, truth, np.ones(len(logits)))
    assert sorted([calibration.low[0] > 0, calibration.high[0] > 0]) == [False, True]
    ordered = calibration.probabilities(np.sort(logits, axis=0))[:, 0]
    assert (np.diff(ordered) >= 0).all()


def test_without_calibration_a_probability_is_the_sigmoid_of_the_logit() -> None:
    probabilities = uncalibrated(1).probabilities(np.array([[2.0]]))
    assert probabilities[0, 0] == pytest.approx(1 / (1 + np.exp(-2)))


def test_rates_are_read_and_mistakes_in_them_are_named() -> None:
    assert read_rates("common=0.1, rare=0.02", LABELS) == {"common": 0.1, "rare": 0.02}
    assert read_rates("", LABELS) == {}
    for text, reason in (("comon=0.1", "'comon' is no label"), ("rare=2", "between 0 and 1"), ("rare=x", "could not")):
        with pytest.raises(ValueError, match=reason):
            read_rates(text, LABELS)
