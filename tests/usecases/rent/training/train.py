import argparse
import os
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import tensorflow as tf
from table import FEATURES, NUMBERS, TARGET, read

from mlops_scripts import number_metrics, pack_code, write_metrics
from mlops_scripts.observation import write_reference

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()
keras.utils.set_random_seed(arguments.seed)
train, test = read(os.environ["SM_CHANNEL_TRAIN"]), read(os.environ["SM_CHANNEL_TEST"])


def features(table):
    return {name: tf.constant(table[name].to_list(), tf.float32 if name in NUMBERS else tf.string) for name in FEATURES}


def errors(table):
    predicted = model.predict(features(table), batch_size=4096, verbose=0)[:, 0]
    return number_metrics(table[TARGET].to_list(), predicted)


scale = keras.layers.Normalization()
scale.adapt(train.select(NUMBERS).to_numpy().astype("float32"))
district = keras.layers.StringLookup(vocabulary=sorted(set(train["district"])), output_mode="one_hot")
inputs = {name: keras.Input((), name=name, dtype="float32" if name in NUMBERS else "string") for name in FEATURES}
numbers = scale(keras.ops.stack([inputs[name] for name in NUMBERS], axis=1))
hidden = keras.layers.Concatenate()([numbers, district(inputs["district"])])
for _ in range(2):
    hidden = keras.layers.Dense(32, activation="relu")(hidden)
# The network learns shares of the usual spread; the model answers in money.
rent = keras.layers.Rescaling(float(train[TARGET].std()), float(train[TARGET].mean()))(keras.layers.Dense(1)(hidden))
model = keras.Model(inputs, rent)
model.compile(keras.optimizers.Adam(0.01), loss="mse")
rows = tf.data.Dataset.from_tensor_slices((features(train), train[TARGET].to_numpy())).cache()
history = []
for epoch in range(1, arguments.epochs + 1):
    loss = model.fit(rows.shuffle(4096, seed=epoch).batch(64), verbose=0).history["loss"][0]
    history.append({"epoch": epoch, "loss": loss})
    print(f"progress {epoch}/{arguments.epochs} loss {loss:,.0f}", flush=True)

by_district = {name: errors(part) for (name,), part in sorted(test.group_by("district"))}
write_metrics({"rent": errors(test), **by_district}, history=history)

folder = Path(os.environ["SM_MODEL_DIR"])
model.export(folder / "1", verbose=False)
(folder / "1" / "fingerprint.pb").unlink()
code = pack_code()
predicted = model.predict(features(test), batch_size=4096, verbose=0)[:, 0].tolist()
measured = {**{name: test[name].to_list() for name in NUMBERS}, "rent": predicted}
write_reference([code, Path(os.environ["SM_OUTPUT_DATA_DIR"])], measured)
