"""Two LSTMs with Keras' layers and `fit`, texts padded in front to one length: the seed's recipe, and a stock one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from benchmarks.contestants.data import Report, Split, run

WORDS, LENGTH = 30_000, 200


class Attention(layers.Layer):  # type: ignore[misc]
    """A weighted mean over time with learnt weights."""

    def build(self, shape: tuple[int, ...]) -> None:
        self.direction = self.add_weight(shape=(shape[-1], 1), name="direction")

    def call(self, states: tf.Tensor) -> tf.Tensor:
        weights = tf.nn.softmax(tf.tanh(states) @ self.direction, axis=1)
        return tf.reduce_sum(states * weights, axis=1)


def seed_recipe() -> keras.Model:
    inputs = keras.Input([LENGTH], dtype="int64")
    hidden = layers.Embedding(WORDS, 100)(inputs)
    hidden = Attention()(layers.Bidirectional(layers.LSTM(100, return_sequences=True))(hidden))
    return keras.Model(inputs, layers.Dense(6, activation="sigmoid")(layers.Dropout(0.1)(hidden)))


def stock() -> keras.Model:
    inputs = keras.Input([LENGTH], dtype="int64")
    hidden = layers.Embedding(WORDS, 64, mask_zero=True)(inputs)
    hidden = layers.Bidirectional(layers.LSTM(48))(hidden)
    return keras.Model(inputs, layers.Dense(6, activation="sigmoid")(layers.Dropout(0.2)(hidden)))


class Measuring(keras.callbacks.Callback):  # type: ignore[misc]
    """Records a point of the curve from time to time."""

    def __init__(self, report: Report, steps: int, predict: Callable[[], np.ndarray]) -> None:
        super().__init__()
        self._report, self._steps, self._predict, self._done = report, steps, predict, 0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        self._done += 1
        self._report.point(self._done / self._steps, self._predict)


RECIPES = {"seed": ("the seed's recipe", seed_recipe, 2048, 2), "stock": ("Keras BiLSTM", stock, 64, 2)}


RECIPE = sys.argv.pop(1)


def train(rows: Split, held_out: Split, seed: int, report: Report) -> None:
    name, build, batch_size, epochs = RECIPES[RECIPE]
    keras.utils.set_random_seed(seed)
    report.begin()
    words = layers.TextVectorization(WORDS, ragged=True)
    words.adapt(rows.texts)

    def vectorize(texts: list[str]) -> np.ndarray:
        numbers = words(tf.constant(texts)).to_list()
        return np.asarray(keras.utils.pad_sequences(numbers, LENGTH, truncating="post"))

    inputs = vectorize(rows.texts)
    model = build()
    model.compile("adam", "binary_crossentropy")
    report.prepared()

    def predict() -> np.ndarray:
        return np.concatenate(
            [model.predict_on_batch(tested[start : start + 512]) for start in range(0, len(tested), 512)]
        )

    tested = vectorize(held_out.texts)
    measuring = Measuring(report, epochs * -(-len(rows.texts) // batch_size), predict)
    model.fit(inputs, rows.labels, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=[measuring])
    report.trained(epochs * len(rows.texts))
    report.scores(name, predict())


if __name__ == "__main__":
    run(train)
