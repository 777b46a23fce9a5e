"""Logits to probabilities that mean what they say where the model will be used, not only where it was trained.

Training rows are often chosen: positives are rare, so somebody adds more of them. A probability learnt from such rows
is too high everywhere else. What helps is knowing how common each label really is (the hyperparameter base_rates):
validation rows are weighted until they show these rates, and one logistic regression for each label is fitted to
them. It holds as far as the texts of a combination of labels are alike in both places; it cannot know more than that.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Pulls towards the plain mean of both halves, so that a label with few positives is not fitted to their noise.
PLAIN, TRUST = np.array([0.5, 0.5, 0.0]), np.array([10.0, 10.0, 1.0])
STEPS = 100


class Calibration(NamedTuple):
    """Per label: what the logits of each half are multiplied by, and what is added."""

    deep: np.ndarray
    wide: np.ndarray
    shift: np.ndarray

    def probabilities(self, deep: np.ndarray, wide: np.ndarray) -> np.ndarray:
        """Logits [rows, labels] to probabilities."""
        return _sigmoid(self.deep * deep + self.wide * wide + self.shift)


def plain(labels: int) -> Calibration:
    """The mean of both halves."""
    return Calibration(*(np.full(labels, value) for value in PLAIN))


def read_rates(text: str, labels: list[str]) -> dict[str, float]:
    """ "toxic=0.1,threat=0.003" as numbers. Raises ValueError naming what is wrong; labels may be left out."""
    rates = {}
    for entry in filter(None, text.split(",")):
        label, _, value = entry.partition("=")
        if label.strip() not in labels:
            raise ValueError(f"{label.strip()!r} is no label; labels are {', '.join(labels)}")
        rates[label.strip()] = float(value)
        if not 0 < rates[label.strip()] < 1:
            raise ValueError(f"{entry.strip()}: a rate lies between 0 and 1")
    return rates


def representative_weights(labels: list[str], truth: np.ndarray, rates: dict[str, float]) -> np.ndarray:
    """Weights of rows, 1 on average, under which every named label has its rate.

    Of all such weights the ones nearest to equal (iterative raking's answer, here by Newton's method): they depend on
    a row's labels alone. A label that no row has, or that all have, cannot be weighted and is left as it is.
    """
    usable = [n for n, label in enumerate(labels) if label in rates and 0 < truth[:, n].sum() < len(truth)]
    observed = truth[:, usable].astype(np.float64)
    target_rates = np.array([rates[labels[n]] for n in usable])
    tilt = np.zeros(len(usable))
    for _ in range(STEPS):
        weights = _tilted(observed, tilt)
        gap = target_rates - weights @ observed
        if not len(usable) or np.abs(gap).max() < 1e-9:
            break
        spread = (observed * weights[:, None]).T @ observed - np.outer(weights @ observed, weights @ observed)
        step = np.linalg.solve(spread + 1e-9 * np.eye(len(usable)), gap)
        tilt += step / max(1.0, np.abs(step).max())  # far from the answer a whole step would overshoot
    return np.asarray(_tilted(observed, tilt) * len(truth))


def calibrate(deep: np.ndarray, wide: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> Calibration:
    """The best Calibration for these rows by weighted log loss; all but ``weights`` [rows] are [rows, labels]."""
    inputs = np.stack([deep, wide, np.ones_like(deep)], axis=2)
    fitted = [_fit(inputs[:, label], truth[:, label], weights) for label in range(truth.shape[1])]
    return Calibration(*np.array(fitted).T)


def _fit(inputs: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Logistic regression by Newton's method."""
    inputs, answer = inputs.astype(np.float64), PLAIN.copy()
    for _ in range(STEPS):
        probabilities = _sigmoid(inputs @ answer)
        slope = inputs.T @ (weights * (truth - probabilities)) - TRUST * (answer - PLAIN)
        curvature = (inputs * (weights * probabilities * (1 - probabilities))[:, None]).T @ inputs + np.diag(TRUST)
        step = np.linalg.solve(curvature, slope)
        answer = answer + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(answer)


def _tilted(truth: np.ndarray, tilt: np.ndarray) -> np.ndarray:
    exponents = truth @ tilt
    weights = np.exp(exponents - exponents.max(initial=-np.inf))
    return np.asarray(weights / weights.sum())


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))))
