"""Raw texts to numbered words, inside the TensorFlow graph, so that serving cannot differ from training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import tensorflow as tf

import cleaning

PADDING, UNKNOWN = 0, 1
FIRST_WORDS, LAST_WORDS = 120, 40
MAX_WORDS = FIRST_WORDS + LAST_WORDS

# On the cleaned text in lower case: each run of ! or ? is a word, and so is what is left of * @ $ ' in words.
_WORD_RULES = ((r"!+", " ! "), (r"\?+", " ? "), (r"[^\p{L}\p{N}'*@$!?]+", " "))


def words(texts: tf.Tensor) -> tf.RaggedTensor:
    """The words of each text: strings [n] to a ragged tensor of strings [n, words]."""
    for pattern, replacement in cleaning.RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    texts = tf.strings.lower(texts, encoding="utf-8")
    for pattern, replacement in _WORD_RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return tf.strings.split(texts)


def learn_vocabulary(batches: Iterable[tf.Tensor], min_count: int, max_size: int) -> list[bytes]:
    """The words seen at least ``min_count`` times, the most frequent first; ties in order of their bytes."""
    counts: Counter[bytes] = Counter()
    for texts in batches:
        counts.update(words(texts).flat_values.numpy().tolist())
    frequent = [word for word, count in counts.items() if count >= min_count]
    return sorted(frequent, key=lambda word: (-counts[word], word))[:max_size]


class Vectorizer(tf.Module):  # type: ignore[misc]
    """Texts to ids of words: 0 pads, 1 is a word that is not in the vocabulary."""

    def __init__(self, vocabulary: list[bytes]) -> None:
        super().__init__(name="vectorizer")
        self.size = len(vocabulary) + 2
        ids = tf.range(2, self.size, dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(vocabulary, tf.string), ids)
        self._table = tf.lookup.StaticHashTable(initializer, UNKNOWN)

    def ragged(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings [n] to ragged ids [n, at most MAX_WORDS]: of a longer text its beginning and its end."""
        ids = tf.cast(self._table.lookup(words(texts)), tf.int32)
        return tf.concat([ids[:, :FIRST_WORDS], ids[:, FIRST_WORDS:][:, -LAST_WORDS:]], axis=1)

    def __call__(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Strings [n] to padded ids [n, time >= 1] and the lengths [n]."""
        ids = self.ragged(texts)
        padded = ids.to_tensor(PADDING)
        no_words = tf.cast(tf.equal(tf.shape(padded)[1], 0), tf.int32)
        return tf.pad(padded, [[0, 0], [0, no_words]]), tf.cast(ids.row_lengths(), tf.int32)
