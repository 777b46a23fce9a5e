"""Calibrate probabilities for the population in which the model is used, not only for the training data.

Training rows are often selected: positives are rare, so a data set contains more of them. Probabilities learnt from
such rows are too high everywhere else. The hyperparameter base_rates gives each label's real frequency. The validation
rows are weighted until they have these rates, and one logistic regression for each label is fitted to them. This
assumes that texts with the same combination of labels are alike in both populations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# A prior towards the network's own probabilities, so that a rare label is not fitted to noise.
PLAIN, TRUST = np.array([1.0, 0.0]), np.array([10.0, 1.0])
STEPS = 100


class Calibration(NamedTuple):
    """For each label, the factor of the logit and the bias."""

    scale: np.ndarray
    shift: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities for logits [rows, labels]."""
        return _sigmoid(self.scale * logits + self.shift)


def uncalibrated(labels: int) -> Calibration:
    """Return the calibration that leaves the network's probabilities unchanged."""
    return Calibration(*(np.full(labels, value) for value in PLAIN))


def read_rates(text: str, labels: list[str]) -> dict[str, float]:
    """Parse "toxic=0.1,threat=0.003"; labels may be left out. Raise ValueError with the problem."""
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
    """Return weights of rows, 1 on average, with which every named label has its rate.

    Of all such weights, these are the closest to equal weights (raking, here by Newton's method). They depend only on a
    row's labels. A label that no row or every row has cannot be weighted and is ignored.
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
        tilt += step / max(1.0, np.abs(step).max())  # far from the solution, a full step would be too large
    return np.asarray(_tilted(observed, tilt) * len(truth))


def calibrate(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> Calibration:
    """Return the best Calibration for these rows by weighted log loss.

    ``weights`` are [rows], the other arguments [rows, labels].
    """
    inputs = np.stack([logits, np.ones_like(logits)], axis=2)
    fitted = [_fit(inputs[:, label], truth[:, label], weights) for label in range(truth.shape[1])]
    return Calibration(*np.array(fitted).T)


def _fit(inputs: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit a logistic regression by Newton's method."""
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
