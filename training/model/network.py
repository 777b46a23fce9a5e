"""The network, from words in order to logits, and the exported model around it.

A word is represented by its own vector and the mean of its character n-grams' vectors. A bidirectional LSTM reads the
words. The maximum and the mean of its states and of the word vectors give the logits.
"""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from common.hyperparameters import Hyperparameters
from model.calibration import Calibration
from model.features import PADDING, SUBWORD_BUCKETS, Features, Featurizer
from model.lstm import LSTM, glorot

# The outputs of the exported model for each text: the probabilities, and the values for the monitoring.
OUTPUTS = ("probabilities", "words", "unknown_words")
EXPORT_NUMBER = 1_000_000
# More groups would need less padding, but each group costs a call of the kernel.
LENGTH_GROUPS = 4


class Network(tf.Module):  # type: ignore[misc]
    """Computes logits from features. ``rates``: the labels' frequencies in the training rows."""

    def __init__(self, words: int, rates: np.ndarray, hyperparameters: Hyperparameters) -> None:
        super().__init__(name="network")
        self._hyperparameters = hyperparameters
        size, units, seed = hyperparameters.embedding_size, hyperparameters.lstm_units, hyperparameters.seed
        self.words = tf.Variable(tf.random.stateless_normal([words, size], [seed, 1], stddev=0.1), name="words")
        subwords = tf.random.stateless_normal([SUBWORD_BUCKETS, size], [seed, 2], stddev=0.1)
        self.subwords = tf.Variable(subwords, name="subwords")
        self.forward = LSTM(size, units, [seed, 3], "forward")
        self.backward = LSTM(size, units, [seed, 4], "backward")
        self.kernel = tf.Variable(glorot([4 * units + 2 * size, len(rates)], [seed, 5]), name="kernel")
        self.bias = tf.Variable(np.log(rates / (1 - rates)).astype(np.float32), name="bias")

    def __call__(self, features: Features, dropout_seed: tf.Tensor = None) -> tf.Tensor:
        """Return logits [texts, labels]; with a seed [2], with dropout."""
        words, rates = features.words, self._hyperparameters
        if dropout_seed is None:
            pooled = self._pool_in_groups(tf.gather(self._word_vectors(features), words), features.lengths)
        else:
            words = tf.where(_random(tf.shape(words), dropout_seed, 1) < rates.word_dropout, PADDING, words)
            vectors = tf.gather(self._word_vectors(features), words)
            whole_dimensions = [tf.shape(words)[0], 1, rates.embedding_size]
            vectors = _drop(vectors, whole_dimensions, rates.spatial_dropout, dropout_seed, 2)
            pooled = self._pool(vectors, features.lengths, on_gpu=bool(tf.config.list_logical_devices("GPU")))
            pooled = _drop(pooled, tf.shape(pooled), rates.dropout, dropout_seed, 3)
        return pooled @ self.kernel + self.bias

    def _word_vectors(self, features: Features) -> tf.Tensor:
        """Return a vector for each distinct word: its own, and the mean of its character n-grams' vectors."""
        count, positions = tf.size(features.distinct_words), features.subword_positions
        total = tf.math.unsorted_segment_sum(tf.gather(self.subwords, features.subwords), positions, count)
        number = tf.math.unsorted_segment_sum(tf.ones_like(positions, tf.float32), positions, count)
        return tf.gather(self.words, features.distinct_words) + total / tf.maximum(number, 1.0)[:, None]

    def _pool_in_groups(self, vectors: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """Call ``_pool`` on groups of texts of similar length, which need less padding."""
        count = tf.size(lengths)

        def grouped() -> tf.Tensor:
            order = tf.argsort(lengths, stable=True)
            bounds = [group * count // LENGTH_GROUPS for group in range(LENGTH_GROUPS + 1)]
            pooled = tf.concat([part(order[start:end]) for start, end in pairwise(bounds)], 0)
            return tf.gather(pooled, tf.math.invert_permutation(order))

        def part(rows: tf.Tensor) -> tf.Tensor:
            its_lengths = tf.gather(lengths, rows)
            return self._pool(tf.gather(vectors, rows)[:, : tf.maximum(tf.reduce_max(its_lengths), 1)], its_lengths)

        return tf.cond(count < 2 * LENGTH_GROUPS, lambda: self._pool(vectors, lengths), grouped)

    def _pool(self, vectors: tf.Tensor, lengths: tf.Tensor, on_gpu: bool = False) -> tf.Tensor:
        """Return the maximum and the mean, over each text's words, of the hidden states and of the word vectors."""
        backwards = tf.reverse_sequence(vectors, lengths, seq_axis=1)
        forward_states = self.forward(tf.transpose(vectors, [1, 0, 2]), on_gpu)
        # These stay in reading order, last word first: pooling ignores the order.
        backward_states = self.backward(tf.transpose(backwards, [1, 0, 2]), on_gpu)
        states = tf.concat([forward_states, backward_states, tf.transpose(vectors, [1, 0, 2])], axis=2)
        mask = tf.transpose(tf.sequence_mask(lengths, tf.shape(vectors)[1], tf.float32))[:, :, None]
        mean = tf.reduce_sum(states * mask, axis=0) / tf.maximum(tf.reduce_sum(mask, axis=0), 1.0)
        largest = tf.reduce_max(tf.where(mask > 0, states, tf.float32.min), axis=0)
        return tf.concat([tf.where(lengths[:, None] > 0, largest, 0.0), mean], axis=1)

    @property
    def digest(self) -> str:
        """Return a digest of all weights, which is equal on all workers of a training."""
        return hashlib.sha256(b"".join(variable.numpy().tobytes() for variable in self.variables)).hexdigest()

    def copy_weights(self, source: Network) -> Network:
        """Copy the weights of another network. Return self."""
        for variable, source_variable in zip(self.variables, source.variables, strict=True):
            variable.assign(source_variable)
        return self


class Classifier(tf.Module):  # type: ignore[misc]
    """The exported model: computes probabilities from raw texts."""

    def __init__(self, featurizer: Featurizer, network: Network, calibration: Calibration) -> None:
        super().__init__(name="classifier")
        self.featurizer, self.network = featurizer, network
        self._low, self._high, self._shift = (tf.constant(part, tf.float32) for part in calibration)

    def __call__(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return OUTPUTS of strings [n]: probabilities [n, labels], number of words [n], share of unknown words [n]."""
        features = self.featurizer(texts)
        logits = self.network(features)
        parts = self._low * tf.math.log_sigmoid(logits) - self._high * tf.math.log_sigmoid(-logits)
        probabilities = tf.sigmoid(parts + self._shift)
        return dict(zip(OUTPUTS, (probabilities, features.word_counts, features.unknown_shares), strict=True))

    def save(self, folder: str) -> None:
        """Write a SavedModel whose default signature maps ``text`` [batch] to the outputs."""
        # The fused LSTM kernel has no XLA version, and "auto" might request it on a GPU.
        signature = [tf.TensorSpec([None], tf.string, name="text")]
        _number_functions_from(EXPORT_NUMBER)
        serve = tf.function(lambda text: self(text), input_signature=signature, jit_compile=False, autograph=False)
        tf.saved_model.save(self, folder, signatures={"serving_default": serve})


def _number_functions_from(number: int) -> None:
    """Set TensorFlow's counter of functions, which is a part of their names.

    A resumed training creates other functions before the export. With the same number, the exported bytes are equal.
    TensorFlow has no public API for this.
    """
    while ops.uid() < number:
        pass


def _drop(values: tf.Tensor, noise_shape: tf.Tensor, rate: float, seed: tf.Tensor, position: int) -> tf.Tensor:
    """Set a share ``rate`` of the values to zero and scale the others, so that the mean stays the same."""
    kept = tf.cast(_random(noise_shape, seed, position) >= rate, tf.float32)
    return values * kept / (1 - rate)


def _random(shape: tf.Tensor, seed: tf.Tensor, position: int) -> tf.Tensor:
    """Return random numbers in [0, 1), different for each ``position`` in the network."""
    return tf.random.stateless_uniform(shape, tf.random.experimental.stateless_fold_in(seed, position))
