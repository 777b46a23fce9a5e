"""The network's parts against plain versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from batches import Encoded, shuffled_batches, sorted_batches
from model import LSTM, Network, Shape
from optimizer import LazyAdam
from text import Vectorizer, learn_vocabulary, words
from trainer import Trainer, predict

pytestmark = pytest.mark.slow  # TensorFlow's import

SHAPE = Shape(embedding_size=5, lstm_units=3, word_dropout=0.1, spatial_dropout=0.3, dropout=0.2)


def plain_lstm(lstm: LSTM, inputs: tf.Tensor) -> tf.Tensor:
    hidden = cell = tf.zeros([inputs.shape[1], lstm.units])
    states = []
    for values in tf.unstack(inputs):
        i, c, f, o = tf.split(tf.concat([values, hidden], 1) @ lstm.kernel + lstm.bias, 4, axis=1)
        cell = tf.sigmoid(f) * cell + tf.sigmoid(i) * tf.tanh(c)
        hidden = tf.sigmoid(o) * tf.tanh(cell)
        states.append(hidden)
    return tf.stack(states)


def test_the_fused_lstm_and_its_gradient_are_those_of_an_lstm() -> None:
    lstm = LSTM(inputs=4, units=3, seed=[1, 2], name="lstm")
    inputs = tf.Variable(3 * tf.random.stateless_normal([30, 2, 4], [3, 4]))
    direction = tf.random.stateless_normal([30, 2, 3], [5, 6])
    with tf.GradientTape(persistent=True) as tape:
        fused, plain = lstm(inputs), plain_lstm(lstm, inputs)
        fused_sum, plain_sum = tf.reduce_sum(fused * direction), tf.reduce_sum(plain * direction)
    np.testing.assert_allclose(fused, plain, atol=1e-6)
    for variable in (inputs, lstm.kernel, lstm.bias):
        np.testing.assert_allclose(tape.gradient(fused_sum, variable), tape.gradient(plain_sum, variable), atol=1e-5)


def test_padding_changes_nothing() -> None:
    network = Network(vocabulary_size=20, labels=2, shape=SHAPE, seed=1)
    alone = network(tf.constant([[4, 5, 6]]), tf.constant([3]))
    padded = network(tf.constant([[4, 5, 6, 0, 0], [7, 8, 9, 10, 11]]), tf.constant([3, 5]))
    np.testing.assert_allclose(padded[:1], alone, atol=1e-6)


def test_word_order_matters() -> None:
    network = Network(vocabulary_size=20, labels=2, shape=SHAPE, seed=1)
    forward, backward = network(tf.constant([[4, 5, 6], [6, 5, 4]]), tf.constant([3, 3]))
    assert np.abs(forward - backward).max() > 1e-4


def test_a_text_without_words_gets_numbers() -> None:
    vectorizer = Vectorizer([b"a"])
    network = Network(vectorizer.size, labels=2, shape=SHAPE, seed=1)
    assert np.isfinite(network(*vectorizer(tf.constant(["", "..."])))).all()


def test_what_a_word_is() -> None:
    found = words(tf.constant(["Don't SHOUT!!! at www.a.b, you f*ck???", "ÉCOLE 1.2.3.4"])).to_list()
    assert found[0] == [b"don't", b"shout", b"!", b"at", b"url", b"you", b"f*ck", b"?"]
    assert [word.decode() for word in found[1]] == ["école", "ipaddr"]


def test_the_vocabulary_is_the_frequent_words_in_a_fixed_order() -> None:
    texts = [tf.constant(["b a a c", "b d"]), tf.constant(["a b d e"])]
    assert learn_vocabulary(texts, min_count=2, max_size=9) == [b"a", b"b", b"d"]
    assert learn_vocabulary(texts, min_count=1, max_size=2) == [b"a", b"b"]


def test_of_a_long_text_the_beginning_and_the_end_are_read() -> None:
    vocabulary = [b"%d" % number for number in range(200)]
    ids = Vectorizer(vocabulary).ragged(
        tf.constant([" ".join(map(str, range(200))), "7 x", " ".join(map(str, range(130)))])
    )
    assert [number - 2 for number in ids[0].numpy()] == [*range(120), *range(160, 200)]
    assert ids[1].numpy().tolist() == [9, 1]
    assert [number - 2 for number in ids[2].numpy()] == [*range(130)]


def test_lazy_adam_is_adam_for_the_rows_it_touches() -> None:
    table, plain = tf.Variable(tf.ones([4, 2])), tf.Variable(tf.ones([4, 2]))
    rows = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), tf.constant([2, 0, 2]), [4, 2])
    lazy, dense = LazyAdam([table]), LazyAdam([plain])
    for _ in range(3):
        lazy.apply([rows], 0.1)
        dense.apply([tf.convert_to_tensor(rows)], 0.1)
    np.testing.assert_allclose(table, plain, atol=1e-6)
    np.testing.assert_array_equal(table[1], [1.0, 1.0])


def test_batches_hold_every_row_once_and_have_like_lengths() -> None:
    lengths = np.random.default_rng(1).integers(0, 160, 5_000)
    batches = shuffled_batches(lengths, 64, [1, 1])
    assert sorted(np.concatenate(batches)) == list(range(5_000))
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    assert spread < 10
    assert [rows.tolist() for rows in batches] != [rows.tolist() for rows in shuffled_batches(lengths, 64, [1, 2])]
    assert [lengths[rows].min() for rows in sorted_batches(lengths, 64)] == sorted(
        lengths[rows].min() for rows in sorted_batches(lengths, 64)
    )


def test_predictions_are_in_the_order_of_the_rows() -> None:
    encoded = Encoded(np.array([5, 3, 3, 3, 4], np.int32), np.array([0, 1, 4, 4, 5]))
    scores = predict(lambda ids, lengths: tf.cast(ids[:, :1] * 10 + lengths[:, None], tf.float32), encoded)
    assert scores[:, 0].tolist() == [51, 33, 0, 41]


def test_the_loss_falls_and_what_no_longer_is_a_number_is_an_error() -> None:
    from train import Hyperparameters
    from trainer import Diverged

    ids = Encoded(np.tile(np.array([2, 3, 4, 5], np.int32), 64), np.arange(0, 257, 2))
    labels = np.tile(np.array([[1.0], [0.0]], np.float32), (64, 1))
    settings = Hyperparameters(epochs=6, batch_size=16, learning_rate=0.05)
    network = Network(vocabulary_size=6, labels=1, shape=SHAPE, seed=1)
    trainer = Trainer(network, np.ones(1, np.float32), settings, ids, labels)
    losses = [trainer.epoch(epoch) for epoch in range(1, 7)]
    assert losses[-1] < 0.2 < losses[0]
    network.bias.assign([float("nan")])
    with pytest.raises(Diverged, match="lower the learning rate"):
        trainer.epoch(6)
