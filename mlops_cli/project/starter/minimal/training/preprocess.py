"""Splits the data: --input-dir holds dataset.csv; each folder made in --output-dir is an input of train.py."""

import argparse
import csv
import random
import sys
from pathlib import Path

csv.field_size_limit(sys.maxsize)  # else a cell has at most 131,072 characters

parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path, required=True)
parser.add_argument("--output-dir", type=Path, required=True)
arguments = parser.parse_args()

with (arguments.input_dir / "dataset.csv").open(encoding="utf-8", newline="") as file:
    header, *rows = csv.reader(file, strict=True)
random.Random(42).shuffle(rows)
cut = len(rows) // 5
for split, part in {"test": rows[:cut], "train": rows[cut:]}.items():
    folder = arguments.output_dir / split
    folder.mkdir()
    with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *part])
