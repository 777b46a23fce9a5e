"""Calibrate probabilities for the population in which the model is used, not only for the training data.

Training rows are often selected: positives are rare, so a data set contains more of them. Probabilities learnt from
such rows are too high everywhere else. The hyperparameter base_rates gives each label's real frequency. The validation
rows are weighted until they have these rates, and a beta calibration for each label is fitted to them: a logistic
regression on log(p) and -log(1 - p), whose sum is the logit. The network is too careful about improbable labels and too
sure of probable ones, so a single factor of the logit would be wrong at both ends. All this assumes that texts with the
same combination of labels are alike in both populations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# A prior towards the network's own probabilities, so that a rare label is not fitted to noise.
PLAIN, TRUST = np.array([1.0, 1.0, 0.0]), np.array([10.0, 10.0, 1.0])
STEPS = 100


class Calibration(NamedTuple):
    """For each label, the factors of log(p) and of -log(1 - p), and the bias. p: the network's probability."""

    low: np.ndarray
    high: np.ndarray
    shift: np.ndarray

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities for logits [rows, labels]."""
        log_p, minus_log_rest = _ends(logits)
        return _sigmoid(self.low * log_p + self.high * minus_log_rest + self.shift)


class Weights(NamedTuple):
    """Weights of rows, 1 on average. They depend only on a row's labels."""

    tilt: np.ndarray
    shift: float

    def of(self, truth: np.ndarray) -> np.ndarray:
        """Return the weights of rows with these labels [rows, labels]."""
        return np.asarray(np.exp(truth @ self.tilt + self.shift))


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


def representative(labels: list[str], combinations: np.ndarray, counts: np.ndarray, rates: dict[str, float]) -> Weights:
    """Return weights with which every named label has its rate. ``counts``: the rows of each combination of labels.

    Of all such weights, these are the closest to equal weights (raking, here by Newton's method). A label that no row
    or every row has cannot be weighted and is ignored.
    """
    shares, observed = counts / counts.sum(), combinations.astype(np.float64)
    usable = [n for n, label in enumerate(labels) if label in rates and 0 < counts @ combinations[:, n] < counts.sum()]
    target_rates = np.array([rates[labels[n]] for n in usable])
    tilt = np.zeros(len(labels))
    for _ in range(STEPS):
        weighted, seen = shares * _tilted(tilt, observed, shares).of(observed), observed[:, usable]
        gap = target_rates - weighted @ seen
        if not usable or np.abs(gap).max() < 1e-9:
            break
        spread = (seen * weighted[:, None]).T @ seen - np.outer(weighted @ seen, weighted @ seen)
        step = np.linalg.solve(spread + 1e-9 * np.eye(len(usable)), gap)
        tilt[usable] += step / max(1.0, np.abs(step).max())  # far from the solution, a full step would be too large
    return _tilted(tilt, observed, shares)


def calibrate(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> Calibration:
    """Return the best Calibration for these rows by weighted log loss.

    ``weights`` are [rows], the other arguments [rows, labels].
    """
    return Calibration(*np.array([_fit(*columns, weights) for columns in zip(logits.T, truth.T, strict=True)]).T)


def _fit(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Fit both factors and the shift. A negative factor becomes 0: it would change the order of the rows."""
    inputs = np.stack([*_ends(logits), np.ones(len(logits))], axis=1)
    answer = _regression(inputs, truth, weights, PLAIN)
    kept = np.append(answer[:-1] >= 0, True)
    return answer if kept.all() else _regression(inputs * kept, truth, weights, PLAIN * kept)


def _regression(inputs: np.ndarray, truth: np.ndarray, weights: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Fit a logistic regression by Newton's method."""
    answer = np.array(prior, np.float64)
    for _ in range(STEPS):
        probabilities = _sigmoid(inputs @ answer)
        slope = inputs.T @ (weights * (truth - probabilities)) - TRUST * (answer - prior)
        curvature = (inputs * (weights * probabilities * (1 - probabilities))[:, None]).T @ inputs + np.diag(TRUST)
        step = np.linalg.solve(curvature, slope)
        answer = answer + step / max(1.0, np.abs(step).max())
        if np.abs(step).max() < 1e-9:
            break
    return np.asarray(answer)


def _tilted(tilt: np.ndarray, combinations: np.ndarray, shares: np.ndarray) -> Weights:
    exponents = combinations @ tilt
    largest = exponents.max()
    return Weights(tilt, float(-largest - np.log(shares @ np.exp(exponents - largest))))


def _ends(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return log(p) and -log(1 - p) of the probabilities p with these logits."""
    log_rest = -np.logaddexp(0, logits.astype(np.float64))
    return logits + log_rest, -log_rest


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64))))
