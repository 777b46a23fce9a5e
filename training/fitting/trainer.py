"""The training loop: the loss, a learning rate with warm-up and decay, progress.

It runs on one or several devices and hosts (distributed.py): each trains on its own rows, and their gradients are
summed in each step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from common.hyperparameters import Hyperparameters
from common.progress import Progress
from fitting.checkpoints import Checkpoints, Notes
from fitting.dataset import Split, TrainingStream, featurize, loader, select, sort_batches, word_counts
from fitting.distributed import DistributedContext, all_reduce_sum
from fitting.optimizer import LazyAdam
from model.features import Features, Featurizer
from model.network import Network

PREDICT_ROWS = 256


class Diverged(Exception):
    """The weights have become NaN or infinite."""


class Predictions(NamedTuple):
    """For rows in order: labels and logits [rows, labels], and the model's word counts [rows]."""

    labels: np.ndarray
    logits: np.ndarray
    word_counts: np.ndarray
    unknown_shares: np.ndarray


class Trainer:
    """Trains ``network``, created in the scope of the context's strategy.

    ``split``: this worker's rows. ``rates``: the labels' frequencies in the rows of all workers.
    """

    def __init__(
        self,
        network: Network,
        featurizer: Featurizer,
        hyperparameters: Hyperparameters,
        split: Split,
        rates: np.ndarray,
        context: DistributedContext,
    ) -> None:
        self._network, self._featurizer, self._hyperparameters = network, featurizer, hyperparameters
        self._context, self._labels, self._rates = context, len(rates), tf.constant(rates, tf.float32)
        self._positive_weights = tf.constant(((1 - rates) / rates) ** hyperparameters.positive_weight_power, tf.float32)
        with context.strategy.scope():
            self.optimizer = LazyAdam(network.trainable_variables)
        start, end = (hyperparameters.batch_size * (context.rank + step) // context.world_size for step in (0, 1))
        self._stream = TrainingStream(split, max(end - start, 1), context.local_devices, hyperparameters.seed)
        # All workers make the same number of steps. A worker with fewer rows begins its next pass earlier.
        self._epoch_steps = int(context.sum(np.array([self._stream.steps_per_pass]))[0]) // context.world_size
        self._steps = hyperparameters.epochs * self._epoch_steps
        self._progress = Progress(self._steps)
        self._load = loader(len(rates), featurizer)
        ((features, labels),) = featurize(iter(()), self._load).element_spec
        signature = [(features, labels), *(tf.TensorSpec([], kind) for kind in (tf.float32, tf.int32))]
        # With several devices there is no fixed signature: TensorFlow infers it from the first batches.
        self._step = tf.function(
            self._train_on_all_devices,
            input_signature=signature if context.local_devices == 1 else None,
            reduce_retracing=context.local_devices > 1,
            autograph=False,
        )
        self._predict = tf.function(self._predict_features, input_signature=[features], autograph=False)
        self._batches: Any = None
        self._done, self._loss, self._rows = 0, 0.0, 0.0

    def resume(self, checkpoints: Checkpoints) -> list[dict[str, Any]]:
        """Restore an interrupted training. Return the number of its finished epochs."""
        notes = checkpoints.restore()
        self._done, self._loss, self._rows = (notes.get(name, 0) for name in ("step", "loss", "rows"))
        if notes and self._context.is_chief:
            print(f"resumes after step {self._done} of {self._steps}", flush=True)
        return list(notes.get("history", []))

    def epoch(self, epoch: int, history: list[dict[str, Any]], checkpoints: Checkpoints) -> float:
        """Train one epoch, counted from 1. Return the unweighted mean log loss during it.

        Raise Diverged as soon as the loss is NaN.
        """
        if self._batches is None:
            devices = self._context.local_devices
            load = loader(self._labels, self._featurizer, devices) if devices > 1 else self._load
            self._batches = iter(featurize(self._stream.batches(self._done), load))
        saved = time.monotonic()
        while self._done < epoch * self._epoch_steps:
            batch = self._context.distribute(next(self._batches))
            loss, rows = self._step(batch, tf.constant(self._schedule(self._done)), tf.constant(self._done))
            self._done += 1
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {self._done} of {self._steps}; lower the learning rate")
            self._loss += float(loss) * float(rows)
            self._rows += float(rows)
            if self._context.is_chief:
                self._progress(self._done, f"epoch {epoch}/{self._hyperparameters.epochs} loss {loss:.4f}")
            if time.monotonic() - saved >= self._hyperparameters.checkpoint_seconds:
                self.save(history, checkpoints)
                saved = time.monotonic()
        if self._done == self._steps:
            self._batches = None  # its rows are no longer needed, and the evaluation needs memory, too
        mean, self._loss, self._rows = self._loss / max(self._rows, 1.0), 0.0, 0.0
        return mean

    def save(self, history: list[dict[str, Any]], checkpoints: Checkpoints) -> None:
        if self._context.is_chief:
            notes: Notes = {"step": self._done, "loss": self._loss, "rows": self._rows, "history": history}
            checkpoints.save(self._done, notes)

    def predict(self, split: Split) -> Predictions:
        """Return the predictions for all rows, in order."""
        return Predictions(*map(np.concatenate, zip(*self.predict_blocks(split), strict=True)))

    def predict_blocks(self, split: Split) -> Iterator[Predictions]:
        """Yield the predictions for one block of rows after the other."""
        for block in split.blocks():
            batches = sort_batches(word_counts(block, split.text), PREDICT_ROWS)
            parts = [
                Predictions(*(part.numpy() for part in (labels, *self._predict(features))))
                for ((features, labels),) in featurize(select(split, block, batches), self._load)
            ]
            order = np.argsort(np.concatenate(batches))
            yield Predictions(*(np.concatenate(part)[order] for part in zip(*parts, strict=True)))

    def _predict_features(self, features: Features) -> tuple[tf.Tensor, ...]:
        return self._network(features), features.word_counts, features.unknown_shares

    def _schedule(self, step: int) -> float:
        """Return the factor of the learning rate in a step."""
        warm_up = max(1, round(self._hyperparameters.warm_up * self._steps))
        rising, falling = (step + 1) / warm_up, (self._steps - step) / max(1, self._steps - warm_up)
        return min(1.0, rising, falling)

    def _train_on_all_devices(self, batch: Any, schedule: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        results = self._context.strategy.run(self._train, (*batch, schedule, step))
        return tuple(self._context.local_result(result) for result in results)

    def _train(
        self, features: Features, labels: tf.Tensor, schedule: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Train one step on a device's rows. Return the mean log loss over all devices' rows, and their number."""
        device = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.stack([self._hyperparameters.seed, step * self._context.devices + device])
        with tf.GradientTape() as tape:
            logits = self._network(features, seed)
            # A weight of w for positives makes a network overestimate its logit by log(w). Adding it here keeps the
            # network's own probabilities as they would be without weights.
            weighted = logits + tf.math.log(self._positive_weights)
            targets = labels + self._hyperparameters.label_smoothing * (self._rates - labels)
            losses = tf.nn.weighted_cross_entropy_with_logits(targets, weighted, self._positive_weights)
            loss = tf.reduce_sum(losses)
        gradients = tape.gradient(loss, self._network.trainable_variables)
        unweighted = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))
        *gradients, unweighted, rows = all_reduce_sum(
            [*gradients, unweighted, tf.cast(tf.shape(labels)[0], tf.float32)]
        )
        values = rows * self._labels
        gradients = [_divide(gradient, values) for gradient in gradients]
        gradients, _ = tf.clip_by_global_norm(gradients, self._hyperparameters.clip_norm)
        self.optimizer.apply(gradients, schedule * self._hyperparameters.learning_rate, step + 1)
        return unweighted / values, rows


def _divide(gradient: Any, values: tf.Tensor) -> Any:
    """Turn a sum over rows and labels into a mean."""
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values / values, gradient.indices, gradient.dense_shape)
    return gradient / values


def label_rates(counts: np.ndarray, rows: int) -> np.ndarray:
    """Return each label's frequency, never 0 or 1."""
    return np.asarray((counts + 1) / (rows + 2))


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the mean over rows and labels of -log(probability of the true value)."""
    of_truth = np.where(labels > 0, probabilities, 1 - probabilities.astype(np.float64))
    return float(-np.log(np.maximum(of_truth, 1e-7)).mean())
