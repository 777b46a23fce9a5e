"""Splits the data: --input-dir holds dataset.csv; each folder made in --output-dir is an input of train.py."""

import argparse
import random
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path, required=True)
parser.add_argument("--output-dir", type=Path, required=True)
arguments = parser.parse_args()

header, *rows = (arguments.input_dir / "dataset.csv").read_text().splitlines()
random.Random(42).shuffle(rows)
cut = len(rows) // 5
for split, part in {"test": rows[:cut], "train": rows[cut:]}.items():
    folder = arguments.output_dir / split
    folder.mkdir()
    (folder / "data.csv").write_text("\n".join([header, *part]) + "\n")
