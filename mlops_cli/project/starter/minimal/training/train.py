"""Trains a network on SM_CHANNEL_TRAIN; writes the model to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import csv
import json
import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tensorflow as tf

csv.field_size_limit(sys.maxsize)  # else a cell has at most 131,072 characters
FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
keras.utils.set_random_seed(arguments.seed)


def read(split: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The features by name and the target of a split."""
    with Path(os.environ[f"SM_CHANNEL_{split}"], "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    columns = {name: np.array([float(row[name]) for row in rows]) for name in [*FEATURES, TARGET]}
    return {name: columns[name] for name in FEATURES}, columns[TARGET]


features, target = read("TRAIN")
scale = keras.layers.Normalization()
scale.adapt(np.stack(list(features.values()), axis=1))

# One input per column, so that a request names them; scaling is part of the model, so that nobody can forget it.
inputs = {name: keras.Input((), name=name) for name in FEATURES}
hidden = scale(keras.ops.stack(list(inputs.values()), axis=1))
hidden = keras.layers.Dense(16, activation="relu")(hidden)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(hidden))
model.compile(keras.optimizers.Adam(0.01), loss="binary_crossentropy")
for epoch in range(1, arguments.epochs + 1):
    loss = model.fit(features, target, verbose=0).history["loss"][0]
    print(f"progress {epoch}/{arguments.epochs} loss {loss:.4f}", flush=True)

features, target = read("TEST")
chance = model.predict(features, verbose=0)[:, 0]
metrics = {"accuracy": float(np.mean((chance > 0.5) == target)), "rows": len(target)}
Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text(json.dumps({"metrics": {"test": {TARGET: metrics}}}))

# 1/ is a version that TensorFlow Serving insists on. Saved like this, and without the random id, the same training
# gives the same package; by model.export() it would not.
exported = tf.Module()
exported.weights = [variable.value for variable in model.variables]
columns = {name: tf.TensorSpec([None], name=name) for name in FEATURES}
serve = tf.function(lambda columns: {TARGET: model(columns)}, input_signature=[columns])
folder = Path(os.environ["SM_MODEL_DIR"])
tf.saved_model.save(exported, str(folder / "1"), signatures=serve)
(folder / "1" / "fingerprint.pb").unlink()
(folder / "code").mkdir()
shutil.copy(Path(__file__).with_name("inference.py"), folder / "code")
