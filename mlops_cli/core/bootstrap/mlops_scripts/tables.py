"""A table as CSV: split it in preprocess.py, read a part of it in train.py."""

from __future__ import annotations

import argparse
import csv
import os
import random
import sys
from pathlib import Path


def split_csv(test: float = 0.2, seed: int = 42) -> None:
    """Split dataset.csv in --input-dir at random into train/data.csv and test/data.csv in --output-dir."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--input-dir", type=Path, required=True)
    parser.add_argument("--output-dir", type=Path, required=True)
    arguments, _ = parser.parse_known_args()
    header, *rows = _read(arguments.input_dir / "dataset.csv")
    random.Random(seed).shuffle(rows)
    cut = round(len(rows) * test)
    for split, part in {"test": rows[:cut], "train": rows[cut:]}.items():
        folder = arguments.output_dir / split
        folder.mkdir(parents=True)
        with (folder / "data.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *part])


def read_rows(split: str, name: str = "data.csv") -> list[dict[str, str]]:
    """Return the rows of a split, in a training or a gate, by the columns' names; every value is a text."""
    channel = os.environ.get(f"SM_CHANNEL_{split.upper()}")
    folder = Path(channel) if channel else Path(os.environ["MLOPS_DATA_DIR"], split)
    header, *rows = _read(folder / name)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _read(path: Path) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)  # else a cell has at most 131,072 characters
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))
