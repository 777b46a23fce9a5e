"""Raw texts to the network's input, inside the TensorFlow graph, so that serving cannot differ from training."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from model.lexicon import BUCKETS, CHARACTER_BUCKETS, FINGERPRINTS, Lexicon, Reading, read, text_ngrams
from model.ngrams import ngrams

FIRST_WORDS, LAST_WORDS = 120, 40
MAX_WORDS = FIRST_WORDS + LAST_WORDS
PADDING = UNKNOWN = 0
SUBWORD_BUCKETS = 1 << 15


class Features(NamedTuple):
    """The network's input for ``n`` texts."""

    # The words for the LSTM, as indices into the distinct words [n, time >= 1], and the lengths.
    words: tf.Tensor
    lengths: tf.Tensor
    # The distinct words, after one for padding: their indices in the lexicon, and (index, bucket) of each one's
    # character n-grams.
    different: tf.Tensor
    subword_places: tf.Tensor
    subwords: tf.Tensor
    # The n-grams of the whole text that are in the lexicon: (text, index), and the value of each.
    ngrams: tf.Tensor
    ngram_values: tf.Tensor


class Featurizer(tf.Module):  # type: ignore[misc]
    """Strings [n] to Features, by a Lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        super().__init__(name="featurizer")
        self.words, self.ngrams = len(lexicon.fingerprints) + 1, len(lexicon.buckets)
        numbers = np.full(BUCKETS, -1, np.int32)
        numbers[lexicon.buckets] = np.arange(self.ngrams)
        self._first_of_words = int(np.searchsorted(lexicon.buckets, CHARACTER_BUCKETS))
        self._numbers = _fixed(numbers, "numbers")
        self._rarity = _fixed(lexicon.idf.astype(np.float32), "idf")
        # The last one belongs to no word: a search always ends at an entry.
        self._fingerprints = _fixed(np.append(lexicon.fingerprints, FINGERPRINTS), "fingerprints")

    def __call__(self, texts: tf.Tensor) -> Features:
        reading = read(texts)
        return Features(*self._words(reading), *self._ngrams(reading, tf.size(texts)))

    def _words(self, reading: Reading) -> tuple[tf.Tensor, ...]:
        words, fingerprints = (_ends(ragged) for ragged in (reading.words, reading.fingerprints))
        different, positions = tf.unique(fingerprints.flat_values)
        first = tf.math.unsorted_segment_min(tf.range(tf.size(positions)), positions, tf.size(different))
        spellings = tf.strings.join(["<", tf.gather(words.flat_values, first), ">"])
        subword_places, subwords = ngrams(tf.strings.unicode_decode(spellings, "UTF-8"), 3, 4, SUBWORD_BUCKETS)
        padded = words.with_flat_values(positions + 1).to_tensor(PADDING)
        no_words = tf.cast(tf.equal(tf.shape(padded)[1], 0), tf.int32)
        padded = tf.pad(padded, [[0, 0], [0, no_words]])
        numbers = tf.concat([[UNKNOWN], self._known(different)], 0)
        return padded, tf.cast(words.row_lengths(), tf.int32), numbers, subword_places + 1, subwords

    def _known(self, fingerprints: tf.Tensor) -> tf.Tensor:
        """Return indices of words from 1 on, 0 for a word outside of the lexicon."""
        position = tf.searchsorted(self._fingerprints, fingerprints)
        return tf.where(tf.equal(tf.gather(self._fingerprints, position), fingerprints), position + 1, UNKNOWN)

    def _ngrams(self, reading: Reading, count: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return (1 + log(count)) * idf.

        Each text's vectors of character and of word n-grams are normalized separately.
        """
        rows, buckets = text_ngrams(reading)
        numbers = tf.gather(self._numbers, buckets)
        known_rows = tf.where(numbers >= 0)[:, 0]
        keys = tf.cast(tf.gather(rows, known_rows), tf.int64) * self.ngrams + tf.cast(
            tf.gather(numbers, known_rows), tf.int64
        )
        keys, _, often = tf.unique_with_counts(keys)
        rows, numbers = keys // self.ngrams, keys % self.ngrams
        values = (1 + tf.math.log(tf.cast(often, tf.float32))) * tf.gather(self._rarity, numbers)
        halves = 2 * rows + tf.cast(numbers >= self._first_of_words, tf.int64)
        lengths = tf.sqrt(tf.math.unsorted_segment_sum(values**2, halves, 2 * count))
        return tf.stack([rows, numbers], axis=1), values / tf.gather(lengths, halves)


def _ends(ragged: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return the beginning and the end of a longer row."""
    return tf.concat([ragged[:, :FIRST_WORDS], ragged[:, FIRST_WORDS:][:, -LAST_WORDS:]], axis=1)


def _fixed(values: np.ndarray, name: str) -> tf.Variable:
    """Return a constant as a variable: unlike a constant it is not part of the graph, whose size is limited."""
    return tf.Variable(values, trainable=False, name=name)
