"""The training loop: a loss and an optimizer for each half, a learning rate with warm-up and decay, progress.

It runs on one device, or on several devices and hosts (team.py): each takes its share of the rows of each batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from common.hyperparameters import Hyperparameters
from common.progress import Progress
from fitting.batches import Table, shuffled_batches, sorted_batches
from fitting.checkpoints import Checkpoints, Notes
from fitting.optimizer import Descent, LazyAdam
from fitting.team import Team, all_reduce_sum
from model.features import Features, Featurizer
from model.network import Logits, Network

PREDICT_ROWS = 256


class Diverged(Exception):
    """The weights have become NaN or infinite."""


class Trainer:
    """Trains ``network``, created in the scope of the team's strategy, on the rows of a table."""

    def __init__(
        self, network: Network, featurizer: Featurizer, settings: Hyperparameters, table: Table, team: Team
    ) -> None:
        self._network, self._featurizer, self._settings, self._table = network, featurizer, settings, table
        self._team = team
        self._weights = tf.constant(positive_weights(table.labels, settings.positive_weight_power))
        self._deep = network.deep.trainable_variables
        with team.strategy.scope():
            self.adam = LazyAdam(self._deep)
            self.descent = Descent([network.wide.weights, network.wide.bias])
        self._steps_per_epoch = len(table) // settings.batch_size + (len(table) % settings.batch_size >= team.devices)
        self._steps = settings.epochs * self._steps_per_epoch
        self._progress = Progress(self._steps)
        features, labels = table.featurized(featurizer, [np.arange(1)]).element_spec
        scalars = [tf.TensorSpec([], kind) for kind in (tf.float32, tf.float32, tf.int32)]
        # With several devices there is no fixed signature: TensorFlow infers it from the first batches.
        signature = [(features, labels), *scalars] if len(team.shares) == 1 else None
        self._step = tf.function(
            self._learn_everywhere, input_signature=signature, reduce_retracing=signature is None, autograph=False
        )
        self._logits = tf.function(network, input_signature=[features], autograph=False)
        self._done, self._loss = 0, 0.0

    def resume(self, checkpoints: Checkpoints) -> list[dict[str, Any]]:
        """Restore an interrupted training; return its finished epochs."""
        notes = checkpoints.restore()
        self._done, self._loss = notes.get("step", 0), notes.get("loss", 0.0)
        if notes and self._team.is_chief:
            print(f"resumes after step {self._done} of {self._steps}", flush=True)
        return list(notes.get("history", []))

    def epoch(self, epoch: int, history: list[dict[str, Any]], checkpoints: Checkpoints) -> float:
        """Train one epoch, counting from 1; return the mean log loss during it, unweighted.

        Raise Diverged as soon as the loss is NaN.
        """
        saved = time.monotonic()
        for shares, rows in self._shares(epoch):
            scalars = (tf.constant(rows, tf.float32), tf.constant(self._schedule(self._done)), tf.constant(self._done))
            loss = float(self._step(shares, *scalars))
            self._done += 1
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {self._done} of {self._steps}; lower the learning rate")
            self._loss += loss * rows
            if self._team.is_chief:
                self._progress(self._done, f"epoch {epoch}/{self._settings.epochs} loss {loss:.4f}")
            if time.monotonic() - saved >= self._settings.checkpoint_seconds:
                self.save(history, checkpoints)
                saved = time.monotonic()
        mean, self._loss = self._loss / len(self._table), 0.0
        return mean

    def save(self, history: list[dict[str, Any]], checkpoints: Checkpoints) -> None:
        if self._team.is_chief:
            notes: Notes = {"step": self._done, "loss": self._loss, "history": history}
            checkpoints.save(self._done, notes)

    def predict(self, table: Table) -> Logits:
        """Return the logits of all rows, in order, as arrays."""
        batches = sorted_batches(table.lengths, PREDICT_ROWS)
        data = table.featurized(self._featurizer, batches)
        sides = zip(*([side.numpy() for side in self._logits(features)] for features, _ in data), strict=True)
        order = np.argsort(np.concatenate(batches))
        return Logits(*(np.concatenate(side)[order] for side in sides))

    def _shares(self, epoch: int) -> Iterator[tuple[Any, int]]:
        """Yield each device's share of the epoch's remaining batches, with the size of the batch."""
        batches = shuffled_batches(self._table.lengths, self._settings.batch_size, [self._settings.seed, epoch])
        remaining = batches[self._done - (epoch - 1) * self._steps_per_epoch : self._steps_per_epoch]
        if remaining:
            parts = [
                self._table.featurized(self._featurizer, [rows[share :: self._team.devices] for rows in remaining])
                for share in self._team.shares
            ]
            for rows, shares in zip(remaining, zip(*parts, strict=True), strict=True):
                yield self._team.distributed(shares), len(rows)

    def _schedule(self, step: int) -> float:
        """Return a step's factor of the learning rate."""
        warm_up = max(1, round(self._settings.warm_up * self._steps))
        rising, falling = (step + 1) / warm_up, (self._steps - step) / max(1, self._steps - warm_up)
        return min(1.0, rising, falling)

    def _learn_everywhere(self, shares: Any, rows: tf.Tensor, schedule: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return self._team.first(self._team.strategy.run(self._learn, (*shares, rows, schedule, step)))

    def _learn(
        self, features: Features, labels: tf.Tensor, rows: tf.Tensor, schedule: tf.Tensor, step: tf.Tensor
    ) -> tf.Tensor:
        """Train one step on a device's share of a batch of ``rows`` rows.

        Return the mean log loss of the whole batch.
        """
        deep, deep_gradients = self._deep_gradients(features, labels, rows, step)
        wide, wide_gradients = self._wide_gradients(features, labels, rows)
        loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, (deep + wide) / 2))
        *gradients, loss = all_reduce_sum([*deep_gradients, *wide_gradients, loss])
        deep_gradients, wide_gradients = gradients[: len(self._deep)], gradients[len(self._deep) :]
        deep_gradients, _ = tf.clip_by_global_norm(deep_gradients, self._settings.clip_norm)
        self.adam.apply(deep_gradients, schedule * self._settings.learning_rate, step + 1)
        self.descent.apply(wide_gradients, schedule * self._settings.wide_learning_rate)
        return loss / (rows * labels.shape[1])

    def _deep_gradients(
        self, features: Features, labels: tf.Tensor, rows: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, list[Any]]:
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack([self._settings.seed, step * self._team.devices + device])
        with tf.GradientTape() as tape:
            logits = self._network.deep(features, seed)
            # A weight of w for positives makes a network overestimate its logit by log(w). Adding it here keeps the
            # network's own probabilities as they would be without weights.
            weighted = logits + tf.math.log(self._weights)
            losses = tf.nn.weighted_cross_entropy_with_logits(labels, weighted, self._weights)
            loss = tf.reduce_sum(losses) / (rows * labels.shape[1])
        return logits, tape.gradient(loss, self._deep)

    def _wide_gradients(self, features: Features, labels: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, list[Any]]:
        logits = self._network.wide(features)
        error = (tf.sigmoid(logits) - labels) / rows  # the gradient of the mean log loss
        return logits, list(self._network.wide.gradient(features, error))


def label_rates(labels: np.ndarray) -> np.ndarray:
    """Return each label's frequency, never 0 or 1."""
    return np.asarray((labels.sum(axis=0) + 1) / (len(labels) + 2))


def positive_weights(labels: np.ndarray, power: float) -> np.ndarray:
    """Return the weight of a positive of each label: ((1 - p) / p) ** power for its rate p."""
    rates = label_rates(labels)
    return np.asarray(((1 - rates) / rates) ** power, np.float32)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean over rows and labels of -log(probability of the true value)."""
    of_truth = np.where(labels > 0, probabilities, 1 - probabilities.astype(np.float64))
    return float(-np.log(np.maximum(of_truth, 1e-7)).mean())
