"""Trains a model on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import os
from pathlib import Path

import xgboost

from mlops_scripts import label_metrics, labels, pack_code, read_rows, write_metrics, write_predictions

FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()


def read(split: str) -> tuple[list[dict[str, float]], list[int]]:
    """The rows of a split as the endpoint takes them, and the target."""
    rows = read_rows(split)
    return [{name: float(row[name]) for name in FEATURES} for row in rows], [int(row[TARGET]) for row in rows]


def matrix(instances: list[dict[str, float]], target: list[int]) -> xgboost.DMatrix:
    rows = [[instance[name] for name in FEATURES] for instance in instances]
    return xgboost.DMatrix(rows, target, feature_names=FEATURES)


instances, target = read("train")
parameters = {"objective": "binary:logistic", "max_depth": 3, "eta": 0.1, "seed": arguments.seed}
model = xgboost.train(parameters, matrix(instances, target), arguments.rounds)

tests, truth = read("test")
chance = model.predict(matrix(tests, truth))
write_metrics({TARGET: label_metrics(truth, chance)})
write_predictions({TARGET: labels(truth, chance, threshold=0.5)}, tests, trained_on=instances)
model.save_model(Path(os.environ["SM_MODEL_DIR"], "model.json"))
pack_code()
