"""Two LSTMs by Keras' own layers and `fit`, all texts padded to one length: the seed's recipe, and a stock one."""

from __future__ import annotations

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers

from tests.benchmarks.contestants.data import Report, Split, run

WORDS, LENGTH = 30_000, 200


class Attention(layers.Layer):  # type: ignore[misc]
    """A weighted mean over time, the weights learnt."""

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


RECIPES = {"seed": ("the seed's recipe", seed_recipe, 2048, 2), "stock": ("Keras BiLSTM", stock, 64, 2)}


RECIPE = sys.argv.pop()


def train(rows: Split, held_out: Split, seed: int, report: Report) -> None:
    name, build, batch_size, epochs = RECIPES[RECIPE]
    keras.utils.set_random_seed(seed)
    report.begin()
    vectorize = layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
    vectorize.adapt(rows.texts)
    inputs = vectorize(tf.constant(rows.texts))
    model = build()
    model.compile("adam", "binary_crossentropy")
    report.prepared()
    model.fit(inputs, rows.labels, batch_size=batch_size, epochs=epochs, verbose=0)
    report.trained(epochs * len(rows.texts))
    report.scores(name, model.predict(vectorize(tf.constant(held_out.texts)), batch_size=512, verbose=0))


if __name__ == "__main__":
    run(train)
