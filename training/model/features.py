"""Turn raw texts into the network's input, inside the TensorFlow graph, so that serving cannot differ from training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from model.ngrams import ngrams
from model.text import FINGERPRINTS, clean, fingerprint, split_words
from model.vocabulary import Vocabulary

FIRST_WORDS, LAST_WORDS = 220, 60
MAX_WORDS = FIRST_WORDS + LAST_WORDS
PADDING = UNKNOWN = 0
SUBWORD_BUCKETS = 1 << 15


class Features(NamedTuple):
    """The network's input for ``n`` texts."""

    # The words for the LSTM, as indices into the distinct words [n, time >= 1], and the lengths.
    words: tf.Tensor
    lengths: tf.Tensor
    # The distinct words, after one for padding: their indices in the vocabulary, and (index, bucket) of each one's
    # character n-grams.
    distinct_words: tf.Tensor
    subword_positions: tf.Tensor
    subwords: tf.Tensor
    # For each text, for the monitoring: the number of all words, and the share of unknown words among those that the
    # network reads.
    word_counts: tf.Tensor
    unknown_shares: tf.Tensor


class Featurizer(tf.Module):  # type: ignore[misc]
    """Strings [n] to Features, by a vocabulary."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__(name="featurizer")
        self.words = len(vocabulary) + 1
        # The last entry belongs to no word, so that a search always ends at an entry. This is a variable, because a
        # constant would be a part of the graph, whose size is limited.
        fingerprints = np.append(vocabulary.fingerprints, FINGERPRINTS)
        self._fingerprints = tf.Variable(fingerprints, trainable=False, name="fingerprints")

    def __call__(self, texts: tf.Tensor) -> Features:
        all_words = split_words(clean(texts))
        words = _first_and_last(all_words)
        lengths = tf.cast(words.row_lengths(), tf.int32)
        fingerprints, positions = tf.unique(fingerprint(words.flat_values))
        first = tf.math.unsorted_segment_min(tf.range(tf.size(positions)), positions, tf.size(fingerprints))
        spellings = tf.strings.join(["<", tf.gather(words.flat_values, first), ">"])
        subword_positions, subwords = ngrams(tf.strings.unicode_decode(spellings, "UTF-8"), 3, 4, SUBWORD_BUCKETS)
        indices = self._indices(fingerprints)
        padded = words.with_flat_values(positions + 1).to_tensor(PADDING)
        no_words = tf.cast(tf.equal(tf.shape(padded)[1], 0), tf.int32)
        unknown = words.with_flat_values(tf.cast(tf.equal(tf.gather(indices, positions), UNKNOWN), tf.float32))
        return Features(
            words=tf.pad(padded, [[0, 0], [0, no_words]]),
            lengths=lengths,
            distinct_words=tf.concat([[UNKNOWN], indices], 0),
            subword_positions=subword_positions + 1,
            subwords=subwords,
            word_counts=tf.cast(all_words.row_lengths(), tf.int32),
            unknown_shares=tf.reduce_sum(unknown, axis=1) / tf.cast(tf.maximum(lengths, 1), tf.float32),
        )

    def _indices(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Return the indices of words, from 1 on; 0 for a word that is not in the vocabulary."""
        position = tf.searchsorted(self._fingerprints, fingerprints)
        return tf.where(tf.equal(tf.gather(self._fingerprints, position), fingerprints), position + 1, UNKNOWN)


def _first_and_last(words: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return the beginning and the end of each row that is too long."""
    return tf.concat([words[:, :FIRST_WORDS], words[:, FIRST_WORDS:][:, -LAST_WORDS:]], axis=1)
