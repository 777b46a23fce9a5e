"""Trains a model on SM_CHANNEL_TRAIN; writes it to SM_MODEL_DIR and its metrics to SM_OUTPUT_DATA_DIR."""

import argparse
import csv
import io
import json
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

csv.field_size_limit(sys.maxsize)  # else a cell has at most 131,072 characters
FEATURES, TARGET = ["months", "tickets", "price"], "left"

parser = argparse.ArgumentParser()
parser.add_argument("--strength", type=float, required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()


def read(split: str) -> tuple[list[list[float]], list[int]]:
    """The features and the target of a split."""
    with Path(os.environ[f"SM_CHANNEL_{split}"], "data.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    return [[float(row[name]) for name in FEATURES] for row in rows], [int(row[TARGET]) for row in rows]


def save(model: object, path: Path) -> None:
    """Write the model without the times and memory addresses that skops notes: equal models give equal files."""
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as dumped:
        files = {name: dumped.read(name) for name in dumped.namelist()}
    schema = files.pop("schema.json").decode()
    address = re.compile(r'(?<="__id__": )\d+|\d+(?=\.npy)')
    numbers: dict[str, str] = {}
    schema = address.sub(lambda match: numbers.setdefault(match[0], str(len(numbers))), schema)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("schema.json"), schema)
        renamed = {address.sub(lambda match: numbers[match[0]], name): content for name, content in files.items()}
        for name, content in sorted(renamed.items()):
            archive.writestr(zipfile.ZipInfo(name), content)


rows, target = read("TRAIN")
model = make_pipeline(StandardScaler(), LogisticRegression(C=arguments.strength, random_state=arguments.seed))
model.fit(rows, target)

rows, target = read("TEST")
metrics = {"accuracy": float(model.score(rows, target)), "rows": len(target)}
Path(os.environ["SM_OUTPUT_DATA_DIR"], "metrics.json").write_text(json.dumps({"metrics": {"test": {TARGET: metrics}}}))

folder = Path(os.environ["SM_MODEL_DIR"])
save(model, folder / "model.skops")
# The container imports code/inference.py and installs code/requirements.txt.
(folder / "code").mkdir()
for name in ("inference.py", "requirements.txt"):
    shutil.copy(Path(__file__).with_name(name), folder / "code")
