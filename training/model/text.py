"""The only definition of a word, inside the TensorFlow graph."""

from __future__ import annotations

import tensorflow as tf

from common import cleaning

# In the cleaned text, each run of ! or ? is a word, and words keep * @ $ '.
_WORD_RULES = ((r"!+", " ! "), (r"\?+", " ? "), (r"[^\p{L}\p{N}'*@$!?]+", " "))
# Words are identified by 63 bits of a hash that TensorFlow keeps stable.
FINGERPRINTS = (1 << 63) - 1


def clean(texts: tf.Tensor) -> tf.Tensor:
    """Return the strings [n] cleaned and in lower case."""
    return tf.strings.lower(_replace(texts, cleaning.RULES), encoding="utf-8")


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Return the words of each cleaned text: a ragged tensor of strings [n, words] from strings [n]."""
    return tf.strings.split(_replace(texts, _WORD_RULES))


def fingerprint(words: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(words, FINGERPRINTS)


def _replace(texts: tf.Tensor, rules: tuple[tuple[str, str], ...]) -> tf.Tensor:
    for pattern, replacement in rules:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return texts
