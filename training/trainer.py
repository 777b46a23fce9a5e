"""The training loop: weighted log loss, Adam, a learning rate that warms up and falls, progress lines."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import tensorflow as tf

from batches import Encoded, shuffled_batches, sorted_batches
from model import Network
from optimizer import LazyAdam
from progress import Progress

PREDICT_ROWS = 256
_IDS, _LENGTHS = tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)


class Settings(Protocol):
    """The hyperparameters that the loop uses; train.py explains them."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warm_up(self) -> float: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Diverged(Exception):
    """Training has come to weights that are no numbers."""


class Trainer:
    """Trains ``network`` on texts (as ids) and their labels [rows, labels]."""

    def __init__(
        self, network: Network, weights: np.ndarray, settings: Settings, ids: Encoded, labels: np.ndarray
    ) -> None:
        self._network, self._settings, self._ids, self._labels = network, settings, ids, labels
        self._weights = tf.constant(weights, tf.float32)
        self._variables = network.trainable_variables
        self._optimizer = LazyAdam(self._variables)
        self._steps_per_epoch = -(-len(labels) // settings.batch_size)
        self._steps = settings.epochs * self._steps_per_epoch
        self._progress = Progress(self._steps)
        label, rate, seed = tf.TensorSpec([None, None]), tf.TensorSpec([]), tf.TensorSpec([2], tf.int32)
        self._step = tf.function(self._learn, input_signature=[_IDS, _LENGTHS, label, rate, seed])
        # A positive weight of w makes the network see log(w) too much in a logit: this takes it out again.
        self.logit_shift = -tf.math.log(self._weights)
        self.classify = tf.function(self._probabilities, input_signature=[_IDS, _LENGTHS])

    def epoch(self, epoch: int) -> float:
        """One pass over the rows, ``epoch`` counting from 1; the mean log loss on the way, without weights.

        Raises Diverged as soon as the loss is no number.
        """
        seed, total = self._settings.seed, 0.0
        batches = shuffled_batches(self._ids.lengths, self._settings.batch_size, [seed, epoch])
        for step, rows in enumerate(batches, (epoch - 1) * self._steps_per_epoch):
            ids, lengths = self._ids.padded(rows)
            loss = float(self._step(ids, lengths, self._labels[rows], self._learning_rate(step), [seed, step]))
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {step + 1} of {self._steps}; lower the learning rate")
            total += loss * len(rows)
            self._progress(step + 1, f"epoch {epoch}/{self._settings.epochs} loss {loss:.4f}")
        return total / len(self._labels)

    def _learning_rate(self, step: int) -> float:
        warm_up = max(1, round(self._settings.warm_up * self._steps))
        rising, falling = (step + 1) / warm_up, (self._steps - step) / max(1, self._steps - warm_up)
        return self._settings.learning_rate * min(1.0, rising, falling)

    def _learn(
        self, ids: tf.Tensor, lengths: tf.Tensor, labels: tf.Tensor, learning_rate: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self._network(ids, lengths, seed)
            losses = tf.nn.weighted_cross_entropy_with_logits(labels, logits, self._weights)
            loss = tf.reduce_mean(losses)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, self._variables), self._settings.clip_norm)
        self._optimizer.apply(gradients, learning_rate)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits + self.logit_shift))

    def _probabilities(self, ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(self._network(ids, lengths) + self.logit_shift)


def positive_weights(labels: np.ndarray, power: float) -> np.ndarray:
    """What a positive of each label weighs: ((1 - p) / p) ** power for its rate p, which is never taken as 0 or 1."""
    rates = (labels.sum(axis=0) + 1) / (len(labels) + 2)
    return np.asarray(((1 - rates) / rates) ** power, np.float32)


def predict(classify: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], ids: Encoded) -> np.ndarray:
    """Probabilities [rows, labels] in the order of the rows."""
    batches = sorted_batches(ids.lengths, PREDICT_ROWS)
    scores = np.concatenate([classify(*ids.padded(rows)).numpy() for rows in batches])
    unsorted = np.empty_like(scores)
    unsorted[np.concatenate(batches)] = scores
    return unsorted


def log_loss(labels: np.ndarray, scores: np.ndarray) -> float:
    """The mean over rows and labels of -log(probability of what is true)."""
    probabilities = np.where(labels > 0, scores, 1 - scores.astype(np.float64))
    return float(-np.log(np.maximum(probabilities, 1e-7)).mean())
