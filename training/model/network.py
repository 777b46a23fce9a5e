"""The network: two halves that read the same text; their logits are combined.

The deep half reads words in order: word vectors with character n-grams, a bidirectional LSTM, pooling over time. The
wide half is a linear model of character and word n-grams, independent of their position.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from common.hyperparameters import Hyperparameters
from model.calibration import Calibration
from model.features import PADDING, SUBWORD_BUCKETS, Features, Featurizer
from model.lstm import LSTM, glorot

EXPORT_NUMBER = 1_000_000
# More groups would need less padding, but a group must be worth a call of the kernel.
LENGTH_GROUPS = 4


class Logits(NamedTuple):
    """The logits of each half: [texts, labels]."""

    deep: tf.Tensor
    wide: tf.Tensor


class Deep(tf.Module):  # type: ignore[misc]
    """Words in order to logits. ``bias``: the logits of an unknown text."""

    def __init__(self, words: int, bias: np.ndarray, shape: Hyperparameters, seed: int) -> None:
        super().__init__(name="deep")
        self._shape = shape
        self.words = tf.Variable(_vectors(words, shape, [seed, 1]), name="words")
        self.subwords = tf.Variable(_vectors(SUBWORD_BUCKETS, shape, [seed, 2]), name="subwords")
        self.forward = LSTM(shape.embedding_size, shape.lstm_units, [seed, 3], "forward")
        self.backward = LSTM(shape.embedding_size, shape.lstm_units, [seed, 4], "backward")
        self.kernel = tf.Variable(glorot([4 * shape.lstm_units, len(bias)], [seed, 5]), name="kernel")
        self.bias = tf.Variable(bias, name="bias")

    def __call__(self, features: Features, dropout_seed: tf.Tensor = None) -> tf.Tensor:
        """Return logits [texts, labels]; with a seed [2], with dropout."""
        words, shape, training = features.words, self._shape, dropout_seed is not None
        if training:
            words = tf.where(_chance(tf.shape(words), dropout_seed, 1) < shape.word_dropout, PADDING, words)
        vectors = tf.gather(self._different(features), words)
        if training:
            whole_dimensions = [tf.shape(words)[0], 1, shape.embedding_size]
            vectors = _drop(vectors, whole_dimensions, shape.spatial_dropout, dropout_seed, 2)
            pooled = self._pooled(vectors, features.lengths, on_gpu=bool(tf.config.list_logical_devices("GPU")))
            pooled = _drop(pooled, tf.shape(pooled), shape.dropout, dropout_seed, 3)
        else:
            pooled = self._pooled_in_groups(vectors, features.lengths)
        return pooled @ self.kernel + self.bias

    def _different(self, features: Features) -> tf.Tensor:
        """Return a vector for each distinct word: its own, and the mean of its character n-grams' vectors."""
        count, positions = tf.size(features.different), features.subword_places
        total = tf.math.unsorted_segment_sum(tf.gather(self.subwords, features.subwords), positions, count)
        number = tf.math.unsorted_segment_sum(tf.ones_like(positions, tf.float32), positions, count)
        return tf.gather(self.words, features.different) + total / tf.maximum(number, 1.0)[:, None]

    def _pooled_in_groups(self, vectors: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Call ``_pooled`` on groups of texts of similar length, which need less padding."""
        count = tf.size(lengths)

        def grouped() -> tf.Tensor:
            order = tf.argsort(lengths, stable=True)
            bounds = [group * count // LENGTH_GROUPS for group in range(LENGTH_GROUPS + 1)]
            pooled = tf.concat([part(order[start:end]) for start, end in pairwise(bounds)], 0)
            return tf.gather(pooled, tf.math.invert_permutation(order))

        def part(rows: tf.Tensor) -> tf.Tensor:
            group_lengths = tf.gather(lengths, rows)
            return self._pooled(
                tf.gather(vectors, rows)[:, : tf.maximum(tf.reduce_max(group_lengths), 1)], group_lengths
            )

        return tf.cond(count < 2 * LENGTH_GROUPS, lambda: self._pooled(vectors, lengths), grouped)

    def _pooled(self, vectors: tf.Tensor, lengths: tf.Tensor, on_gpu: bool = False) -> tf.Tensor:
        """Return the maximum and the mean of the hidden states over each text's own words, both directions."""
        backwards = tf.reverse_sequence(vectors, lengths, seq_axis=1)
        forward_states = self.forward(tf.transpose(vectors, [1, 0, 2]), on_gpu)
        # These stay in reading order, last word first: pooling ignores the order.
        backward_states = self.backward(tf.transpose(backwards, [1, 0, 2]), on_gpu)
        states = tf.concat([forward_states, backward_states], axis=2)
        mask = tf.transpose(tf.sequence_mask(lengths, tf.shape(vectors)[1], tf.float32))[:, :, None]
        states *= mask
        mean = tf.reduce_sum(states, axis=0) / tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
        largest = tf.reduce_max(states + mask - 1, axis=0)  # states are above -1, so padding is never the maximum
        return tf.concat([largest, mean], axis=1)


class Wide(tf.Module):  # type: ignore[misc]
    """N-grams to logits: a linear model."""

    def __init__(self, ngrams: int, bias: np.ndarray) -> None:
        super().__init__(name="wide")
        self.weights = tf.Variable(tf.zeros([ngrams, len(bias)]), name="weights")
        self.bias = tf.Variable(bias, name="bias")

    def __call__(self, features: Features) -> tf.Tensor:
        shape = tf.stack([tf.shape(features.words, tf.int64)[0], self.weights.shape[0]])
        counted = tf.SparseTensor(features.ngrams, features.ngram_values, shape)
        return tf.sparse.sparse_dense_matmul(counted, self.weights) + self.bias

    def gradient(self, features: Features, error: tf.Tensor) -> tuple[tf.IndexedSlices, tf.Tensor]:
        """Return the gradient of weights and bias for that of the logits.

        TensorFlow's own has a row per known n-gram.
        """
        texts, numbers = tf.unstack(features.ngrams, axis=1)
        rows = tf.gather(error, texts) * features.ngram_values[:, None]
        return tf.IndexedSlices(rows, numbers, tf.shape(self.weights, tf.int64)), tf.reduce_sum(error, axis=0)


class Network(tf.Module):  # type: ignore[misc]
    """Both halves; ``rates``: the labels' frequencies in the training rows."""

    def __init__(self, featurizer: Featurizer, rates: np.ndarray, shape: Hyperparameters, seed: int) -> None:
        super().__init__(name="network")
        bias = np.log(rates / (1 - rates)).astype(np.float32)
        self.deep = Deep(featurizer.words, bias, shape, seed)
        self.wide = Wide(featurizer.ngrams, bias)

    def __call__(self, features: Features) -> Logits:
        return Logits(self.deep(features), self.wide(features))

    @property
    def digest(self) -> str:
        """Return a digest of all weights: equal on all workers of a training."""
        return hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in self.variables)).hexdigest()

    def taking_over(self, source: Network) -> Network:
        """Copy the weights of another network; return self."""
        for variable, source_variable in zip(self.variables, source.variables, strict=True):
            variable.assign(source_variable)
        return self


class Classifier(tf.Module):  # type: ignore[misc]
    """Raw texts to probabilities: the exported model."""

    def __init__(self, featurizer: Featurizer, network: Network, calibration: Calibration) -> None:
        super().__init__(name="classifier")
        self.featurizer, self.network = featurizer, network
        deep, wide, shift = (tf.constant(part, tf.float32) for part in calibration)
        self._deep, self._wide, self._shift = deep, wide, shift

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Return probabilities [n, labels] of strings [n]."""
        logits = self.network(self.featurizer(texts))
        return tf.sigmoid(self._deep * logits.deep + self._wide * logits.wide + self._shift)

    def save(self, folder: str) -> None:
        """Write a SavedModel whose default signature maps ``text`` [batch] to ``probabilities``."""

        def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": self(text)}

        # The fused LSTM kernel has no XLA version, and "auto" might request it on a GPU.
        signature = [tf.TensorSpec([None], tf.string, name="text")]
        _number_functions_from(EXPORT_NUMBER)
        served = tf.function(serve, input_signature=signature, jit_compile=False, autograph=False)
        tf.saved_model.save(self, folder, signatures={"serving_default": served})


def _number_functions_from(number: int) -> None:
    """Set TensorFlow's counter of functions, which is a part of their names.

    A resumed training creates other functions before the export; with the same number the exported bytes are equal.
    There is no public API.
    """
    while ops.uid() < number:
        pass


def _vectors(count: int, shape: Hyperparameters, seed: list[int]) -> tf.Tensor:
    return tf.random.stateless_normal([count, shape.embedding_size], seed, stddev=0.1)


def _drop(values: tf.Tensor, noise_shape: tf.Tensor, rate: float, seed: tf.Tensor, position: int) -> tf.Tensor:
    """Set a share ``rate`` of the values to zero and scale the others, so that the mean stays."""
    kept = tf.cast(_chance(noise_shape, seed, position) >= rate, tf.float32)
    return values * kept / (1 - rate)


def _chance(shape: tf.Tensor, seed: tf.Tensor, position: int) -> tf.Tensor:
    """Return random numbers in [0, 1), different for each ``position`` in the network."""
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, position))
