"""The lexicon of the training texts: the frequent words and n-grams, and the idf of the n-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from model.ngrams import ngrams
from model.text import cleaned, words

# Indices of hashed character n-grams come first, those of word n-grams after them.
CHARACTER_BUCKETS, WORD_BUCKETS = 1 << 20, 1 << 19
BUCKETS = CHARACTER_BUCKETS + WORD_BUCKETS
# Words are identified by 63 bits of a hash that TensorFlow keeps stable.
FINGERPRINTS = (1 << 63) - 1
# A text's index and a bucket in 32 bits, fast to sort: this bounds the texts of a batch.
_BUCKET_BITS = 21
MOST_TEXTS = 1 << (32 - _BUCKET_BITS)
# Enough texts for stable frequencies: more cost time without a better model.
ENOUGH_TEXTS = 200_000
MIN_NGRAM_TEXTS = 2


class Reading(NamedTuple):
    """Tokenized texts."""

    texts: tf.Tensor
    words: tf.RaggedTensor
    fingerprints: tf.RaggedTensor


@dataclass(frozen=True)
class Lexicon:
    """All arrays in ascending order, so that indices do not depend on ties."""

    fingerprints: np.ndarray  # of the words
    buckets: np.ndarray  # of the n-grams
    idf: np.ndarray  # each n-gram's inverse document frequency

    @property
    def digest(self) -> str:
        parts = (self.fingerprints, self.buckets, self.idf)
        return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def read(texts: tf.Tensor) -> Reading:
    """Clean and split strings [n]."""
    texts = cleaned(texts)
    split = words(texts)
    fingerprints = tf.strings.to_hash_bucket_fast(split.flat_values, FINGERPRINTS)
    return Reading(texts, split, split.with_flat_values(fingerprints))


def text_ngrams(reading: Reading) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (text, bucket) of every n-gram: of 2 to 5 characters, and of one and two words."""
    characters = tf.strings.unicode_decode(tf.strings.join([" ", reading.texts, " "]), "UTF-8")
    character_rows, character_buckets = ngrams(characters, 2, 5, CHARACTER_BUCKETS)
    word_rows, word_buckets = ngrams(reading.fingerprints, 1, 2, WORD_BUCKETS)
    rows = tf.concat([character_rows, word_rows], 0)
    return rows, tf.concat([character_buckets, word_buckets + CHARACTER_BUCKETS], 0)


def learn_lexicon(batches: Iterable[tf.Tensor], min_count: int, most_words: int, most_ngrams: int) -> Lexicon:
    """Return the most frequent words and n-grams of the first ENOUGH_TEXTS, from batches of at most MOST_TEXTS."""
    count = tf.function(_countable, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    fingerprints, texts = [], 0
    frequency = np.zeros(BUCKETS, np.int64)
    for batch in batches:
        of_batch, keys = (part.numpy() for part in count(batch))
        fingerprints.append(of_batch)
        frequency += np.bincount(_distinct(keys) & ((1 << _BUCKET_BITS) - 1), minlength=BUCKETS)
        texts += len(batch)
        if texts >= ENOUGH_TEXTS:
            break
    seen, counts = np.unique(np.concatenate(fingerprints), return_counts=True)
    buckets = _most_frequent(frequency, MIN_NGRAM_TEXTS, most_ngrams)
    idf = np.log((1 + texts) / (1 + frequency[buckets])) + 1
    return Lexicon(seen[_most_frequent(counts, min_count, most_words)], buckets, idf)


def _countable(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return every word's fingerprint; every n-gram's text and bucket in one number."""
    reading = read(texts)
    rows, buckets = text_ngrams(reading)
    keys = tf.bitwise.left_shift(tf.cast(rows, tf.uint32), tf.constant(_BUCKET_BITS, tf.uint32))
    return reading.fingerprints.flat_values, tf.bitwise.bitwise_or(keys, tf.cast(buckets, tf.uint32))


def _distinct(keys: np.ndarray) -> np.ndarray:
    keys = np.sort(keys)
    return np.asarray(keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]])


def _most_frequent(counts: np.ndarray, least: int, most: int) -> np.ndarray:
    """Return the indices, ascending, of the ``most`` largest counts that are not under ``least``."""
    order = np.argsort(-counts, kind="stable")[:most]
    return np.sort(order[counts[order] >= least])
