"""The vocabulary: the frequent words of the training texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from model.text import clean, fingerprint, split_words

# Enough texts for stable frequencies. More texts take time and do not improve the model.
ENOUGH_TEXTS = 200_000


@dataclass(frozen=True)
class Vocabulary:
    """The fingerprints of the words in ascending order, so that an index does not depend on ties."""

    fingerprints: np.ndarray

    def __len__(self) -> int:
        return len(self.fingerprints)

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.fingerprints.tobytes()).hexdigest()


def count_words(batches: Iterable[tf.Tensor], texts: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the fingerprint of each word in the first ``texts`` texts, and how often it occurs."""

    def read(batch: tf.Tensor) -> tf.Tensor:
        return fingerprint(split_words(clean(batch)).flat_values)

    read_batch = tf.function(read, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    parts, counted = [], 0
    for batch in batches:
        parts.append(np.unique(read_batch(batch[: texts - counted]).numpy(), return_counts=True))
        counted += len(batch)
        if counted >= texts:
            break
    words, counts = map(np.concatenate, zip(*parts, strict=True))
    return _merged(words, counts)


def choose_words(words: np.ndarray, counts: np.ndarray, min_count: int, most: int) -> Vocabulary:
    """Return the ``most`` most frequent words that occur at least ``min_count`` times. A word may occur twice in it."""
    words, counts = _merged(words, counts)
    order = np.argsort(-counts, kind="stable")[:most]
    return Vocabulary(np.sort(words[order[counts[order] >= min_count]]))


def _merged(words: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each word once, with the sum of its counts."""
    words, positions = np.unique(words, return_inverse=True)
    return words, np.bincount(positions, counts, len(words)).astype(np.int64)
