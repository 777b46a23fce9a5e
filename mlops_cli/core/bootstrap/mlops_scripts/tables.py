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
    if not 0 < test < 1:
        raise ValueError(f"split_csv: test is {test}, expected a share between 0 and 1")
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
    """Return the rows of a split by column names, in a training or a gate. Every value is a text."""
    folder = _split_folder(split)
    if not (folder / name).is_file():
        raise FileNotFoundError(f"read_rows: preprocess.py wrote no {split}/{name}")
    header, *rows = _read(folder / name)
    return [dict(zip(header, row, strict=True)) for row in rows]


def _split_folder(split: str) -> Path:
    """Return the folder of a split, in a training or a gate. Raise ValueError, with the splits, for an unknown name."""
    channel, folder = os.environ.get(f"SM_CHANNEL_{split.upper()}"), os.environ.get("MLOPS_DATA_DIR")
    if channel:
        return Path(channel)
    if folder and Path(folder, split).is_dir():
        return Path(folder, split)
    channels = [name.removeprefix("SM_CHANNEL_").lower() for name in os.environ if name.startswith("SM_CHANNEL_")]
    names = [path.name for path in Path(folder).iterdir() if path.is_dir()] if folder else channels
    raise ValueError(
        f"read_rows: there is no split {split!r}; preprocess.py wrote {', '.join(sorted(names)) or 'none'}"
    )


def _read(path: Path) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)  # the default allows only 131,072 characters in a cell
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))
