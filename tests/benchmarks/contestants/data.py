"""The rows that all contestants train on and are measured by, and the form of what they print."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

LABELS = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


@dataclass(frozen=True)
class Split:
    texts: list[str]
    labels: np.ndarray


def read(folder: Path) -> Split:
    frame = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    return Split(frame["comment_text"].to_list(), frame.select(LABELS).to_numpy().astype(np.float32))


class Report:
    """Scores by the name of a model, and the points of a curve: seconds of training, rows seen, scores."""

    def __init__(self) -> None:
        self.content: dict[str, object] = {"scores": {}, "curve": []}
        self._laps: list[float] = []

    def prepared(self) -> None:
        self._laps.append(time.perf_counter())

    def begin(self) -> None:
        self._laps = [time.perf_counter()]

    def trained(self, rows: int) -> None:
        start, prepared = self._laps
        self.content |= {"preparation": prepared - start, "training": time.perf_counter() - prepared, "rows": rows}

    def scores(self, name: str, values: np.ndarray) -> None:
        self.content["scores"][name] = np.round(values.astype(float), 6).tolist()  # type: ignore[index]


def run(contestant: Callable[[Split, Split, int, Report], None]) -> None:
    """Trains on train/, scores test/ of a folder that preprocess.py wrote; what it prints last is the report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    arguments = parser.parse_args()
    report = Report()
    contestant(read(arguments.folder / "train"), read(arguments.folder / "test"), arguments.seed, report)
    print(json.dumps(report.content))
