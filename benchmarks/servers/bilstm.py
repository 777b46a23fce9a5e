"""A stock model to serve: raw strings to a bidirectional LSTM of 100 units with Keras' own layers, not trained.

    python bilstm.py FOLDER < TEXTS.json

The values of its weights do not affect its speed.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import layers

WORDS, LENGTH = 30_000, 200


def main() -> None:
    vectorize = layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
    vectorize.adapt(json.load(sys.stdin))
    text = keras.Input([], dtype="string", name="text")
    hidden = layers.Bidirectional(layers.LSTM(100))(layers.Embedding(WORDS, 100)(vectorize(text)))
    model = keras.Model(text, layers.Dense(6, activation="sigmoid")(hidden))

    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"probabilities": model(text)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serve", serve, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    archive.write_out(Path(sys.argv[1]), verbose=False)


if __name__ == "__main__":
    main()
