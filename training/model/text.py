"""The tokenization into words, inside the TensorFlow graph."""

from __future__ import annotations

import tensorflow as tf

from common import cleaning

# On the cleaned text in lower case: each run of ! or ? is a word; words keep * @ $ '.
_WORD_RULES = ((r"!+", " ! "), (r"\?+", " ? "), (r"[^\p{L}\p{N}'*@$!?]+", " "))
# The same words for an engine that only counts them.
WORD_PATTERN = r"[\p{L}\p{N}'*@$]+|!+|\?+"


def cleaned(texts: tf.Tensor) -> tf.Tensor:
    """Return strings [n], cleaned and in lower case."""
    return tf.strings.lower(_replaced(texts, cleaning.RULES), encoding="utf-8")


def words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Return the words of each cleaned text: strings [n] to a ragged tensor of strings [n, words]."""
    return tf.strings.split(_replaced(texts, _WORD_RULES))


def _replaced(texts: tf.Tensor, rules: tuple[tuple[str, str], ...]) -> tf.Tensor:
    for pattern, replacement in rules:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return texts
