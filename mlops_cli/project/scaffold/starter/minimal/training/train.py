"""Trains a network on SM_CHANNEL_TRAIN; writes the model to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf

from mlops_scripts import label_metrics, labels, pack_code, read_rows, write_metrics, write_predictions

FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
keras.utils.set_random_seed(arguments.seed)


def read(split: str) -> tuple[list[dict[str, float]], np.ndarray]:
    """The rows of a split as the endpoint takes them, and the target."""
    rows = read_rows(split)
    instances = [{name: float(row[name]) for name in FEATURES} for row in rows]
    return instances, np.array([float(row[TARGET]) for row in rows])


def columns(instances: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {name: np.array([instance[name] for instance in instances]) for name in FEATURES}


instances, target = read("train")
features = columns(instances)
scale = keras.layers.Normalization()
scale.adapt(np.stack(list(features.values()), axis=1))

# One input per column, so that a request names them; scaling is part of the model, so that nobody can forget it.
inputs = {name: keras.Input((), name=name) for name in FEATURES}
hidden = scale(keras.ops.stack(list(inputs.values()), axis=1))
hidden = keras.layers.Dense(16, activation="relu")(hidden)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
model.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy")
history = []
for epoch in range(1, arguments.epochs + 1):
    loss = model.fit(features, target, verbose=0).history["loss"][0]
    history.append({"epoch": epoch, "loss": loss})
    print(f"progress {epoch}/{arguments.epochs} loss {loss:.4f}", flush=True)

tests, truth = read("test")
chance = model.predict(columns(tests), verbose=0)[:, 0]
write_metrics({TARGET: label_metrics(truth, chance)}, history=history)
write_predictions({TARGET: labels(truth, chance, threshold=0.5)}, tests, trained_on=instances)

# TensorFlow Serving needs the folder 1/, a version. Saved in this way and without the random id, the same training
# gives the same package; with model.export() it would not.
exported = tf.Module()
exported.weights = [variable.value for variable in model.variables]
signature = {name: tf.TensorSpec([None], name=name) for name in FEATURES}
serve = tf.function(lambda columns: {TARGET: model(columns)}, input_signature=[signature])
folder = Path(os.environ["SM_MODEL_DIR"], "1")
tf.saved_model.save(exported, str(folder), signatures=serve)
(folder / "fingerprint.pb").unlink()
pack_code()
