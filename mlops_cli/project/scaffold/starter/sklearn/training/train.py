"""Trains a model on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops_scripts import label_metrics, labels, pack_code, read_rows, save_skops, write_metrics, write_predictions

FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()


def read(split: str) -> tuple[list[dict[str, float]], list[int]]:
    """The rows of a split as the endpoint takes them, and the target."""
    rows = read_rows(split)
    return [{name: float(row[name]) for name in FEATURES} for row in rows], [int(row[TARGET]) for row in rows]


def table(instances: list[dict[str, float]]) -> list[list[float]]:
    return [[instance[name] for name in FEATURES] for instance in instances]


instances, target = read("train")
model = make_pipeline(StandardScaler(), LogisticRegression(C=arguments.strength, random_state=arguments.seed))
model.fit(table(instances), target)

tests, truth = read("test")
chance = model.predict_proba(table(tests))[:, 1]
write_metrics({TARGET: label_metrics(truth, chance)})
write_predictions({TARGET: labels(truth, chance, threshold=0.5)}, tests, trained_on=instances)
save_skops(model)
pack_code()
