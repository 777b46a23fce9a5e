"""The rows on which all contestants are trained and measured, and the form of their output."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

LABELS = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]


@dataclass(frozen=True)
class Split:
    texts: list[str]
    labels: np.ndarray


def read(folder: Path) -> Split:
    frame = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    return Split(frame["comment_text"].to_list(), frame.select(LABELS).to_numpy().astype(np.float32))


class Report:
    """Scores by the name of a model.

    ``points``: the number of points of a curve (seconds of training, mean ROC AUC).
    """

    def __init__(self, held_out: Split, points: int) -> None:
        self.content: dict[str, Any] = {"scores": {}, "curve": []}
        self._held_out, self._points = held_out, points
        self._laps: list[float] = []
        self._paused = 0.0

    def begin(self) -> None:
        self._laps = [time.perf_counter()]

    def prepared(self) -> None:
        self._laps.append(time.perf_counter())

    def point(self, done: float, predict: Callable[[], np.ndarray]) -> None:
        """Record a point of the curve at the share ``done`` of the training. The time of measuring does not count."""
        if done * self._points < len(self.content["curve"]) + 1:
            return
        start = time.perf_counter()
        aucs = [roc_auc_score(truth, score) for truth, score in zip(self._held_out.labels.T, predict().T, strict=True)]
        self.content["curve"].append([start - self._laps[1] - self._paused, float(np.mean(aucs))])
        self._paused += time.perf_counter() - start

    def trained(self, rows: int) -> None:
        start, prepared = self._laps
        training = time.perf_counter() - prepared - self._paused
        self.content |= {"preparation": prepared - start, "training": training, "rows": rows}

    def scores(self, name: str, values: np.ndarray) -> None:
        self.content["scores"][name] = np.round(values.astype(float), 6).tolist()


def run(contestant: Callable[[Split, Split, int, Report], None]) -> None:
    """Train on train/, score test/ of a folder that preprocess.py wrote. Print the report last."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int)
    parser.add_argument("--points", type=int, default=0)
    arguments = parser.parse_args()
    rows, held_out = read(arguments.folder / "train"), read(arguments.folder / "test")
    report = Report(held_out, arguments.points)
    contestant(rows, held_out, arguments.seed, report)
    print(json.dumps(report.content))
