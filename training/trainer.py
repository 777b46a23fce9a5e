"""The training loop: each half has its loss and its optimizer, a learning rate that warms up and falls, progress."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import tensorflow as tf

from batches import Table, shuffled_batches, sorted_batches
from features import Features, Featurizer
from model import Logits, Network
from optimizer import Descent, LazyAdam
from progress import Progress

PREDICT_ROWS = 256


class Settings(Protocol):
    """The hyperparameters that the loop uses; train.py explains them."""

    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def wide_learning_rate(self) -> float: ...
    @property
    def warm_up(self) -> float: ...
    @property
    def clip_norm(self) -> float: ...
    @property
    def positive_weight_power(self) -> float: ...
    @property
    def seed(self) -> int: ...


class Diverged(Exception):
    """Training has come to weights that are no numbers."""


class Trainer:
    """Trains ``network`` on the rows of a table."""

    def __init__(self, network: Network, featurizer: Featurizer, settings: Settings, table: Table) -> None:
        self._network, self._featurizer, self._settings, self._table = network, featurizer, settings, table
        self._weights = tf.constant(positive_weights(table.labels, settings.positive_weight_power))
        self._deep = network.deep.trainable_variables
        self._adam, self._descent = LazyAdam(self._deep), Descent([network.wide.weights, network.wide.bias])
        self._steps_per_epoch = -(-len(table) // settings.batch_size)
        self._steps = settings.epochs * self._steps_per_epoch
        self._progress = Progress(self._steps)
        features, labels = table.featurized(featurizer, [np.arange(1)]).element_spec
        rate, seed = tf.TensorSpec([]), tf.TensorSpec([2], tf.int32)
        self._step = tf.function(self._learn, input_signature=[features, labels, rate, seed])
        self._logits = tf.function(network, input_signature=[features])

    def epoch(self, epoch: int) -> float:
        """One pass over the rows, ``epoch`` counting from 1; the mean log loss on the way, without weights.

        Raises Diverged as soon as the loss is no number.
        """
        seed, total = self._settings.seed, 0.0
        batches = shuffled_batches(self._table.lengths, self._settings.batch_size, [seed, epoch])
        data = self._table.featurized(self._featurizer, batches)
        for step, (features, labels) in enumerate(data, (epoch - 1) * self._steps_per_epoch):
            loss = float(self._step(features, labels, self._schedule(step), [seed, step]))
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {step + 1} of {self._steps}; lower the learning rate")
            total += loss * len(labels)
            self._progress(step + 1, f"epoch {epoch}/{self._settings.epochs} loss {loss:.4f}")
        return total / len(self._table)

    def predict(self, table: Table) -> Logits:
        """The logits of all rows, in their order, as arrays."""
        batches = sorted_batches(table.lengths, PREDICT_ROWS)
        data = table.featurized(self._featurizer, batches)
        sides = zip(*([side.numpy() for side in self._logits(features)] for features, _ in data), strict=True)
        order = np.argsort(np.concatenate(batches))
        return Logits(*(np.concatenate(side)[order] for side in sides))

    def _schedule(self, step: int) -> float:
        """What share of the learning rate a step has."""
        warm_up = max(1, round(self._settings.warm_up * self._steps))
        rising, falling = (step + 1) / warm_up, (self._steps - step) / max(1, self._steps - warm_up)
        return min(1.0, rising, falling)

    def _learn(self, features: Features, labels: tf.Tensor, share: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        deep = self._learn_deep(features, labels, share * self._settings.learning_rate, seed)
        wide = self._learn_wide(features, labels, share * self._settings.wide_learning_rate)
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, (deep + wide) / 2))

    def _learn_deep(self, features: Features, labels: tf.Tensor, rate: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self._network.deep(features, seed)
            # A positive weight of w makes a network see log(w) too much in a logit. That is put in here and so is
            # not in the network, whose probabilities stay what they would be without weights.
            weighted = logits + tf.math.log(self._weights)
            loss = tf.reduce_mean(tf.nn.weighted_cross_entropy_with_logits(labels, weighted, self._weights))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, self._deep), self._settings.clip_norm)
        self._adam.apply(gradients, rate)
        return logits

    def _learn_wide(self, features: Features, labels: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        logits = self._network.wide(features)
        error = (tf.sigmoid(logits) - labels) / tf.cast(tf.shape(labels)[0], tf.float32)  # of the mean log loss
        self._descent.apply(self._network.wide.gradient(features, error), rate)
        return logits


def label_rates(labels: np.ndarray) -> np.ndarray:
    """How common each label is, never 0 or 1."""
    return np.asarray((labels.sum(axis=0) + 1) / (len(labels) + 2))


def positive_weights(labels: np.ndarray, power: float) -> np.ndarray:
    """What a positive of each label weighs: ((1 - p) / p) ** power for its rate p."""
    rates = label_rates(labels)
    return np.asarray(((1 - rates) / rates) ** power, np.float32)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The mean over rows and labels of -log(probability of what is true)."""
    of_truth = np.where(labels > 0, probabilities, 1 - probabilities.astype(np.float64))
    return float(-np.log(np.maximum(of_truth, 1e-7)).mean())
