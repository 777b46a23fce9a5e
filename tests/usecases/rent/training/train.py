import argparse
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_USE_LEGACY_KERAS"] = "1"  # spares the import of Keras

import numpy as np
import tensorflow as tf
from table import FEATURES, NUMBERS, TARGET, read

from mlops_scripts import number_metrics, pack_code, write_metrics
from mlops_scripts.observation import write_reference

parser = argparse.ArgumentParser()
parser.add_argument("--bootstraps", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
train, test = read(os.environ["SM_CHANNEL_TRAIN"]), read(os.environ["SM_CHANNEL_TEST"])
districts = sorted(set(train["district"]))


def design(table):
    """Return [rows, districts * (numbers + 1)]: each district has its own price for each number."""
    numbers = np.column_stack([table[NUMBERS].to_numpy(), np.ones(table.height)])
    district = np.array(table["district"])[:, None] == np.array(districts)
    return (district[:, :, None] * numbers[:, None, :]).reshape(table.height, -1)


def fit(rows):
    return np.linalg.lstsq(design(train[rows]), train[TARGET].to_numpy()[rows], rcond=None)[0]


class Rent(tf.Module):
    """A linear model for each district: the mean of the fits to bootstrap samples."""

    def __init__(self, weights):
        super().__init__()
        self.weights = tf.Variable(weights.reshape(len(districts), -1), dtype=tf.float32)

    @tf.function(
        input_signature=[
            {name: tf.TensorSpec([None], tf.float32 if name in NUMBERS else tf.string, name) for name in FEATURES}
        ]
    )
    def serve(self, flats):
        numbers = tf.stack([flats[name] for name in NUMBERS] + [tf.ones_like(flats["area"])], axis=1)
        district = tf.cast(flats["district"][:, None] == tf.constant(districts), tf.float32)
        return {"rent": tf.reduce_sum((district @ self.weights) * numbers, axis=1, keepdims=True)}


draw, fits = np.random.default_rng(arguments.seed), []
for bootstrap in range(1, arguments.bootstraps + 1):
    fits.append(fit(draw.integers(train.height, size=train.height)))
    print(f"progress {bootstrap}/{arguments.bootstraps}", flush=True)
weights = np.mean(fits, axis=0)


def errors(table):
    return number_metrics(table[TARGET].to_list(), design(table) @ weights)


by_district = {name: errors(part) for (name,), part in sorted(test.group_by("district"))}
write_metrics({"rent": errors(test), **by_district})

model = Rent(weights)
saved = Path(os.environ["SM_MODEL_DIR"], "1")
tf.saved_model.save(model, str(saved), signatures={"serving_default": model.serve})
(saved / "fingerprint.pb").unlink()
code = pack_code()
measured = {**{name: test[name].to_list() for name in NUMBERS}, "rent": (design(test) @ weights).tolist()}
write_reference([code, Path(os.environ["SM_OUTPUT_DATA_DIR"])], measured)
