"""The network's parts against plain versions of themselves."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from common.hyperparameters import Hyperparameters
from fitting.batches import Table, shuffled_batches, sorted_batches
from fitting.checkpoints import Checkpoints
from fitting.optimizer import Descent, LazyAdam
from fitting.team import assemble
from fitting.trainer import Trainer
from model.features import FIRST_WORDS, LAST_WORDS, Featurizer
from model.lexicon import learn_lexicon
from model.lstm import LSTM
from model.network import Network
from model.text import WORD_PATTERN, cleaned, words

pytestmark = pytest.mark.slow  # TensorFlow's import

SHAPE = Hyperparameters.of_use_case(embedding_size=5, lstm_units=3)
ALONE = assemble([""], "")
TEXTS = ["you are kind", "you are not kind at all", "kind words, kind deeds", "are all words kind?"]


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return Featurizer(learn_lexicon([tf.constant(TEXTS)], min_count=2, most_words=100, most_ngrams=1000))


@pytest.fixture
def network(featurizer: Featurizer) -> Network:
    """With weights in its wide half, too, which starts from zero."""
    made = Network(featurizer, np.array([0.2, 0.4]), SHAPE, seed=1)
    made.wide.weights.assign(tf.random.stateless_normal(made.wide.weights.shape, [1, 2]))
    return made


def logits(featurizer: Featurizer, network: Network, *texts: str) -> np.ndarray:
    """Of both halves: [2, texts, labels]."""
    return np.stack(network(featurizer(tf.constant(texts))))


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


def test_the_weights_are_packed_for_cudnn_as_keras_packs_its_own() -> None:
    """There is no GPU here; Keras' packing has run on many."""
    from keras.src.backend.tensorflow.rnn import _standardize_cudnn_weights

    lstm = LSTM(inputs=4, units=3, seed=[1, 2], name="lstm")
    lstm.bias.assign(tf.random.stateless_normal([12], [3, 4]))
    i, c, f, o = tf.split(lstm.kernel, 4, axis=1)
    biases = tf.split(lstm.bias, 4)
    expected = _standardize_cudnn_weights(
        weights=[gate[part] for part in (slice(4), slice(4, None)) for gate in (i, f, c, o)],
        biases=[*(biases[place] for place in (0, 2, 1, 3)), *(4 * [tf.zeros([3])])],
        shape=tf.constant([-1]),
        transpose_weights=True,
    )
    np.testing.assert_array_equal(lstm.cudnn_parameters(), expected)


@pytest.mark.parametrize("text", ["you are kind", "", "?!", "unheard of", "words " * 400, "\u00e9t\u00e9 \U0001f600"])
def test_a_text_in_a_batch_is_the_text_alone(featurizer: Featurizer, network: Network, text: str) -> None:
    """Padding changes nothing, nor does the company of other words and n-grams; and there are always numbers."""
    alone = logits(featurizer, network, text)
    company = ["all words are kind", text, "you " * 30, *TEXTS]
    assert np.isfinite(alone).all()
    for size in (3, len(company), 3 * len(company)):
        together = logits(featurizer, network, *(3 * company)[:size])
        np.testing.assert_allclose(together[:, 1], alone[:, 0], atol=1e-5)


def test_word_order_matters_to_the_lstm(featurizer: Featurizer, network: Network) -> None:
    (forward, backward), _ = logits(featurizer, network, "you are kind", "kind are you")
    assert np.abs(forward - backward).max() > 1e-4


def test_a_word_that_was_never_seen_is_known_by_its_spelling(featurizer: Featurizer, network: Network) -> None:
    (one, other), _ = logits(featurizer, network, "kindest", "wordless")
    assert np.abs(one - other).max() > 1e-4


def test_the_wide_half_is_a_linear_model_of_weighted_ngrams(featurizer: Featurizer, network: Network) -> None:
    features = featurizer(tf.constant(["kind kind words", "xyzzy"]))
    inputs = np.zeros([2, featurizer.ngrams])
    np.add.at(inputs, tuple(features.ngrams.numpy().T), features.ngram_values.numpy())
    expected = inputs @ network.wide.weights.numpy() + network.wide.bias.numpy()
    np.testing.assert_allclose(network.wide(features), expected, atol=1e-5)
    assert (inputs[0] ** 2).sum() == pytest.approx(2, abs=1e-5)  # characters and words, each of length 1
    assert len(np.unique(features.ngrams.numpy(), axis=0)) == len(features.ngrams)


def test_the_wide_half_s_gradient_is_tensorflow_s(featurizer: Featurizer, network: Network) -> None:
    features, labels = featurizer(tf.constant(TEXTS[:2])), tf.constant([[1.0, 0.0], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        scores = network.wide(features)
        loss = tf.reduce_mean(tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels, scores), axis=1))
    rows, bias = network.wide.gradient(features, (tf.sigmoid(scores) - labels) / 2)
    expected = tape.gradient(loss, [network.wide.weights, network.wide.bias])
    np.testing.assert_allclose(tf.convert_to_tensor(rows), expected[0], atol=1e-6)
    np.testing.assert_allclose(bias, expected[1], atol=1e-6)


def test_what_a_word_is() -> None:
    texts = ["Don't SHOUT!!! at www.a.b, you f*ck???", "\u00c9COLE 1.2.3.4", ""]
    found = words(cleaned(tf.constant(texts)))
    assert found[0].numpy().tolist() == [b"don't", b"shout", b"!", b"at", b"url", b"you", b"f*ck", b"?"]
    assert [word.decode() for word in found[1].numpy()] == ["\u00e9cole", "ipaddr"]
    counted = pl.Series([text.decode() for text in cleaned(tf.constant(texts)).numpy()]).str.count_matches(WORD_PATTERN)
    assert counted.to_list() == found.row_lengths().numpy().tolist()


def test_the_lexicon_is_what_is_frequent_and_how_rare_it_is() -> None:
    batches = [tf.constant(["aa bb aa", "aa bb cc"]), tf.constant(["aa", "dd"])]
    found = learn_lexicon(batches, min_count=2, most_words=9, most_ngrams=1000)
    assert len(found.fingerprints) == 2
    assert len(learn_lexicon(batches, min_count=1, most_words=3, most_ngrams=2).fingerprints) == 3
    # In two texts of four: "aa b" and the like; in three: those of " aa".
    assert {round(float(idf), 4) for idf in found.idf} == {
        round(float(np.log(5 / (1 + texts)) + 1), 4) for texts in (2, 3)
    }


def test_of_a_long_text_the_beginning_and_the_end_are_read(featurizer: Featurizer) -> None:
    numbered = " ".join(f"w{number}" for number in range(200))
    ends = " ".join(f"w{number}" for number in (*range(FIRST_WORDS), *range(200 - LAST_WORDS, 200)))
    whole, cut = featurizer(tf.constant([numbered])), featurizer(tf.constant([ends]))
    np.testing.assert_array_equal(whole.words, cut.words)
    np.testing.assert_array_equal(whole.subwords, cut.subwords)
    assert whole.lengths.numpy().tolist() == [FIRST_WORDS + LAST_WORDS]


def test_lazy_adam_is_adam_for_the_rows_it_touches() -> None:
    table, plain = tf.Variable(tf.ones([4, 2])), tf.Variable(tf.ones([4, 2]))
    rows = tf.IndexedSlices(tf.constant([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), tf.constant([2, 0, 2]), [4, 2])
    lazy, dense = LazyAdam([table]), LazyAdam([plain])
    for step in (1, 2, 3):
        lazy.apply([rows], 0.1, step)
        dense.apply([tf.convert_to_tensor(rows)], 0.1, step)
    np.testing.assert_allclose(table, plain, atol=1e-6)
    np.testing.assert_array_equal(table[1], [1.0, 1.0])


def test_descent_adds_up_the_rows_of_a_table() -> None:
    table = tf.Variable(tf.ones([3, 1]))
    Descent([table]).apply([tf.IndexedSlices(tf.constant([[1.0], [2.0], [3.0]]), tf.constant([2, 0, 2]), [3, 1])], 0.5)
    np.testing.assert_allclose(table, [[0.0], [1.0], [-1.0]])


def test_batches_hold_every_row_once_and_have_like_lengths() -> None:
    lengths = np.random.default_rng(1).integers(0, 160, 5_000)
    batches = shuffled_batches(lengths, 64, [1, 1])
    assert sorted(np.concatenate(batches)) == list(range(5_000))
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    assert spread < 10
    assert {len(rows) for rows in batches[:-1]} == {64}
    assert [rows.tolist() for rows in batches] != [rows.tolist() for rows in shuffled_batches(lengths, 64, [1, 2])]
    assert [lengths[rows].min() for rows in sorted_batches(lengths, 64)] == sorted(
        lengths[rows].min() for rows in sorted_batches(lengths, 64)
    )


def table(repeats: int = 64) -> Table:
    labels = np.tile(np.array([[1.0], [0.0]], np.float32), (repeats, 1))
    return Table(tf.constant(["you are kind", "words at all"] * repeats), labels, np.full(2 * repeats, 3, np.int32))


def test_predictions_are_in_the_order_of_the_rows(featurizer: Featurizer, network: Network) -> None:

    mixed = Table(tf.constant(TEXTS), np.zeros([4, 2], np.float32), np.array([3, 6, 4, 5], np.int32))
    predicted = Trainer(network, featurizer, SHAPE, mixed, ALONE).predict(mixed)
    np.testing.assert_allclose(np.stack(predicted), logits(featurizer, network, *TEXTS), atol=1e-5)


def test_the_loss_falls_and_what_no_longer_is_a_number_is_an_error(featurizer: Featurizer) -> None:
    from fitting.trainer import Diverged

    settings = Hyperparameters.of_use_case(epochs=7, batch_size=16, learning_rate=0.05)
    network = Network(featurizer, np.array([0.5]), SHAPE, seed=1)
    trainer = Trainer(network, featurizer, settings, table(), ALONE)
    nowhere = Checkpoints(None, [])
    losses = [trainer.epoch(epoch, [], nowhere) for epoch in range(1, 7)]
    assert losses[-1] < 0.01 < losses[0]
    network.deep.bias.assign([float("nan")])
    with pytest.raises(Diverged, match="lower the learning rate"):
        trainer.epoch(7, [], nowhere)
