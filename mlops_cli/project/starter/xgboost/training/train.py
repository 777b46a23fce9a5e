"""Trains a model on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import csv
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import xgboost

csv.field_size_limit(sys.maxsize)  # else a cell has at most 131,072 characters
FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()


def read(split: str) -> xgboost.DMatrix:
    """The features and the target of a split."""
    with Path(os.environ[f"SM_CHANNEL_{split}"], "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    features = [[float(row[name]) for name in FEATURES] for row in rows]
    return xgboost.DMatrix(features, [int(row[TARGET]) for row in rows], feature_names=FEATURES)


train, test = read("TRAIN"), read("TEST")
model = xgboost.train(
    {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "seed": arguments.seed}, train, arguments.rounds
)
metrics = {"accuracy": float(np.mean((model.predict(test) > 0.5) == test.get_label())), "rows": test.num_row()}
Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text(json.dumps({"metrics": {"test": {TARGET: metrics}}}))

folder = Path(os.environ["SM_MODEL_DIR"])
model.save_model(folder / "model.json")
# The container imports code/inference.py and installs code/requirements.txt.
(folder / "code").mkdir()
for name in ("inference.py", "requirements.txt"):
    shutil.copy(Path(__file__).with_name(name), folder / "code")
