"""N-grams of numbered items (here characters), hashed with integers inside the TensorFlow graph.

No n-gram becomes a string: its hash is computed from the hash of the n-gram without the last item.
"""

from __future__ import annotations

import tensorflow as tf

_MULTIPLIER, _MIXER = 0x9E3779B1, 0x85EBCA77


def ngrams(items: tf.RaggedTensor, shortest: int, longest: int, buckets: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the row and the bucket of each n-gram of ragged numbers [rows, items]. ``buckets``: a power of two."""
    values, rows = tf.cast(items.flat_values, tf.uint32), tf.cast(items.value_rowids(), tf.int32)
    starts, hashes, whole = [], [], []
    running = values * _uint32(_MULTIPLIER)
    for size in range(1, longest + 1):
        if size > 1:
            running = (running[:-1] + values[size - 1 :]) * _uint32(_MULTIPLIER)
        if size >= shortest:
            starts.append(rows[: tf.size(running)])
            hashes.append(running)
            whole.append(tf.equal(starts[-1], rows[size - 1 :]))  # its first and last item are in the same row
    valid = tf.where(tf.concat(whole, 0))[:, 0]
    return tf.gather(tf.concat(starts, 0), valid), _bucket(tf.gather(tf.concat(hashes, 0), valid), buckets)


def _bucket(hashes: tf.Tensor, buckets: int) -> tf.Tensor:
    """Return the bucket. Mix the bits first: the high bits depend on all items, the low bits only on the last items."""
    for shift in (15, 13):
        hashes = tf.bitwise.bitwise_xor(hashes, tf.bitwise.right_shift(hashes, _uint32(shift))) * _uint32(_MIXER)
    return tf.cast(tf.bitwise.right_shift(hashes, _uint32(32 - (buckets.bit_length() - 1))), tf.int32)


def _uint32(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint32)
