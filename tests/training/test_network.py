"""The network's parts, compared with simple versions of them."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tensorflow as tf

from common.hyperparameters import Hyperparameters
from fitting import dataset
from fitting.checkpoints import Checkpoints
from fitting.dataset import Split, TrainingStream, open_split, shuffle_batches, sort_batches, word_counts
from fitting.distributed import connect
from fitting.optimizer import LazyAdam
from fitting.trainer import Diverged, Trainer
from model.features import FIRST_WORDS, LAST_WORDS, Featurizer
from model.lstm import LSTM
from model.network import Network
from model.text import clean, split_words
from model.vocabulary import Vocabulary, choose_words, count_words

pytestmark = pytest.mark.slow  # TensorFlow's import

SMALL = Hyperparameters.of_use_case(embedding_size=5, lstm_units=3, batch_size=16, seed=1)
ALONE = connect([""], "")
TEXTS = ["you are kind", "you are not kind at all", "kind words, kind deeds", "are all words kind?"]
LABELS = ["first", "second"]


def learn(*batches: list[str], min_count: int = 2, most: int = 100) -> Vocabulary:
    return choose_words(*count_words(map(tf.constant, batches), 1000), min_count, most)


@pytest.fixture(scope="module")
def featurizer() -> Featurizer:
    return Featurizer(learn(TEXTS))


@pytest.fixture
def network(featurizer: Featurizer) -> Network:
    return Network(featurizer.words, np.array([0.2, 0.4]), SMALL)


def logits(featurizer: Featurizer, network: Network, *texts: str) -> np.ndarray:
    return np.asarray(network(featurizer(tf.constant(texts))))


def write_split(folder: Path, texts: list[str], parts: int = 1) -> Split:
    """Write parts with these texts. The first of each two texts has the first label."""
    folder.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(len(texts)), parts)):
        labels = {"first": (rows + 1) % 2, "second": rows % 2}
        frame = pl.DataFrame(
            {"text": [texts[row] for row in rows]} | labels, schema_overrides=dict.fromkeys(LABELS, pl.UInt8)
        )
        frame.write_parquet(folder / f"part-{number:05d}.parquet")
    return open_split(folder, "text", LABELS)


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
    """This machine has no GPU; Keras' packing is proven on GPUs."""
    from keras.src.backend.tensorflow.rnn import _standardize_cudnn_weights

    lstm = LSTM(inputs=4, units=3, seed=[1, 2], name="lstm")
    lstm.bias.assign(tf.random.stateless_normal([12], [3, 4]))
    i, c, f, o = tf.split(lstm.kernel, 4, axis=1)
    biases = tf.split(lstm.bias, 4)
    expected = _standardize_cudnn_weights(
        weights=[gate[part] for part in (slice(4), slice(4, None)) for gate in (i, f, c, o)],
        biases=[*(biases[index] for index in (0, 2, 1, 3)), *(4 * [tf.zeros([3])])],
        shape=tf.constant([-1]),
        transpose_weights=True,
    )
    np.testing.assert_array_equal(lstm.cudnn_parameters(), expected)


@pytest.mark.parametrize("text", ["you are kind", "", "?!", "unheard of", "words " * 400, "\u00e9t\u00e9 \U0001f600"])
def test_a_text_has_the_same_prediction_alone_and_in_a_batch(
    featurizer: Featurizer, network: Network, text: str
) -> None:
    """Padding and the other texts of a batch change no prediction. Every prediction is a finite number."""
    alone = logits(featurizer, network, text)
    company = ["all words are kind", text, "you " * 30, *TEXTS]
    assert np.isfinite(alone).all()
    for size in (3, len(company), 3 * len(company)):
        together = logits(featurizer, network, *(3 * company)[:size])
        np.testing.assert_allclose(together[1], alone[0], atol=1e-5)


def test_word_order_matters(featurizer: Featurizer, network: Network) -> None:
    forward, backward = logits(featurizer, network, "you are kind", "kind are you")
    assert np.abs(forward - backward).max() > 1e-4


def test_a_word_that_was_never_seen_is_known_by_its_spelling(featurizer: Featurizer, network: Network) -> None:
    first, second = logits(featurizer, network, "kindest", "wordless")
    assert np.abs(first - second).max() > 1e-4


def test_the_words_of_a_text() -> None:
    texts = ["Don't SHOUT!!! at www.a.b, you f*ck???", "\u00c9COLE 1.2.3.4", ""]
    words = split_words(clean(tf.constant(texts)))
    assert words[0].numpy().tolist() == [b"don't", b"shout", b"!", b"at", b"url", b"you", b"f*ck", b"?"]
    assert [word.decode() for word in words[1].numpy()] == ["\u00e9cole", "ipaddr"]


def test_the_model_counts_its_words_and_those_that_it_does_not_know(featurizer: Featurizer) -> None:
    features = featurizer(tf.constant(["You are kind!!", "", "kind unheard", "kind " * 300 + "x"]))
    assert features.word_counts.numpy().tolist() == [4, 0, 2, 301]
    np.testing.assert_allclose(features.unknown_shares, [1 / 4, 0, 1 / 2, 1 / (FIRST_WORDS + LAST_WORDS)])


def test_the_vocabulary_has_the_frequent_words() -> None:
    batches = ["aa bb aa", "aa bb cc"], ["aa", "dd"]
    assert len(learn(*batches, most=9)) == 2
    assert len(learn(*batches, min_count=1, most=3)) == 3
    apart = [
        np.concatenate(parts)
        for parts in zip(*(count_words([tf.constant(batch)], 10) for batch in batches), strict=True)
    ]
    np.testing.assert_array_equal(choose_words(*apart, 2, 9).fingerprints, learn(*batches, most=9).fingerprints)


def test_of_a_long_text_the_beginning_and_the_end_are_read(featurizer: Featurizer) -> None:
    numbered = " ".join(f"w{number}" for number in range(400))
    ends = " ".join(f"w{number}" for number in (*range(FIRST_WORDS), *range(400 - LAST_WORDS, 400)))
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


def test_batches_hold_every_row_once_and_have_like_lengths() -> None:
    lengths = np.random.default_rng(1).integers(0, 160, 5_000)
    batches, shuffled = (shuffle_batches(lengths, 64, np.random.default_rng(seed)) for seed in (1, 2))
    assert sorted(np.concatenate(batches)) == list(range(5_000))
    spread = np.mean([np.ptp(lengths[rows]) for rows in batches])
    assert spread < 10
    assert {len(rows) for rows in batches[:-1]} == {64}
    assert [rows.tolist() for rows in batches] != [rows.tolist() for rows in shuffled]
    smallest = [lengths[rows].min() for rows in sort_batches(lengths, 64)]
    assert smallest == sorted(smallest)


def test_blocks_have_the_rows_in_order_across_parts(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(103)]
    split = write_split(tmp_path / "split", texts, parts=7)
    for size in (1, 10, 14, 15, 200):
        blocks = list(split.blocks(size))
        assert [text for block in blocks for text in block["text"]] == texts
        assert {block.height for block in blocks[:-1]} <= {size}
        later = [text for block in split.blocks(size, 3) for text in block["text"]]
        assert later == texts[3 * size :]
    assert split.label_counts().tolist() == [52, 51]
    combinations, counts = split.label_combinations()
    assert (combinations.tolist(), counts.tolist()) == ([[0, 1], [1, 0]], [51, 52])
    assert len(split.limited(20)) == 30
    shuffled = split.shuffled(np.random.default_rng(1))
    assert sorted(text for block in shuffled.blocks() for text in block["text"]) == sorted(texts)


@pytest.mark.parametrize(("batch_size", "devices"), [(8, 1), (10, 4), (64, 1)])
def test_a_stream_has_every_row_once_in_each_pass_and_goes_on_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, devices: int
) -> None:
    monkeypatch.setattr(dataset, "BLOCK_ROWS", 24)
    split = write_split(tmp_path / "split", [f"text {number}" for number in range(103)], parts=7)
    stream = TrainingStream(split, batch_size, devices, seed=1)
    steps = stream.steps_per_pass
    batches = [texts.tolist() for texts, _ in islice(stream.batches(0), 3 * steps)]
    passes = [list(chain(*batches[start : start + steps])) for start in range(0, 3 * steps, steps)]
    rows = 103 if 103 % batch_size >= devices else 103 - 103 % batch_size
    assert [(len(rows), len(set(rows))) for rows in passes] == 3 * [(rows, rows)]
    assert passes[0] != passes[1] != passes[2]
    for step in range(3 * steps):
        texts, labels = next(stream.batches(step))
        assert texts.tolist() == batches[step]
        assert labels[:, 1].tolist() == [int(text.split()[1]) % 2 for text in texts]


def test_workers_read_different_parts_and_all_of_them(tmp_path: Path) -> None:
    write_split(tmp_path / "split", [str(number) for number in range(50)], parts=5)
    shares = [open_split(tmp_path / "split", "text", LABELS, rank, 2) for rank in range(2)]
    assert [len(share) for share in shares] == [30, 20]
    texts = [int(text) for share in shares for block in share.blocks() for text in block["text"]]
    assert texts != sorted(texts) == list(range(50))
    with pytest.raises(dataset.EmptySplit, match="no rows in it for worker 6 of 6"):
        open_split(tmp_path / "split", "text", LABELS, 5, 6)


def test_predictions_are_in_the_order_of_the_rows(
    featurizer: Featurizer, network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = write_split(tmp_path / "split", TEXTS, parts=2)
    trainer = Trainer(network, featurizer, SMALL, split, np.array([0.2, 0.4]), ALONE)
    predicted = trainer.predict(split)
    np.testing.assert_allclose(predicted.logits, logits(featurizer, network, *TEXTS), atol=1e-5)
    assert predicted.labels.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1]]
    assert predicted.word_counts.tolist() == [3, 6, 4, 5]
    assert word_counts(next(split.blocks()), "text").tolist() == [3, 6, 4, 4]


def test_smoothed_labels_are_learnt_and_a_loss_that_is_no_number_is_an_error(
    featurizer: Featurizer, tmp_path: Path
) -> None:
    split = write_split(tmp_path / "split", ["you are kind", "words at all"] * 64)
    settings = replace(SMALL, epochs=7, learning_rate=0.05, label_smoothing=0.4)
    rates = np.array([0.5, 0.5])
    network = Network(featurizer.words, rates, settings)
    trainer = Trainer(network, featurizer, settings, split, rates, ALONE)
    nowhere = Checkpoints(None, [])
    losses = [trainer.epoch(epoch, [], nowhere) for epoch in range(1, 7)]
    assert losses[-1] < losses[0]
    probabilities = tf.sigmoid(logits(featurizer, network, "you are kind", "words at all"))
    np.testing.assert_allclose(probabilities, [[0.8, 0.2], [0.2, 0.8]], atol=0.05)  # moved by 0.4 towards 0.5
    network.bias.assign([float("nan")] * 2)
    with pytest.raises(Diverged, match="lower the learning rate"):
        trainer.epoch(7, [], nowhere)
