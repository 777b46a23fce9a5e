"""Measure the quality and the training time of the model, and of alternatives.

    python -m benchmarks.quality --seeds 2 --source JIGSAW

All train on the same rows (preprocess.py's train/) and are scored on the same held-out rows (its test/, on which
nothing is tuned). The rows of train.csv have natural rates (natural), those of extra.csv have more positives
(enriched); for both, the score is the mean of the labels' ROC AUC. Without --source the rows come from the built-in
sample, all at natural rates. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import polars as pl
from sklearn.metrics import roc_auc_score

from benchmarks.comments import add_source, name_of, write_comments
from benchmarks.contestants.data import LABELS
from benchmarks.harness import machine, table
from mlops_cli.evaluation.bootstrap import confidence_interval, resample
from mlops_cli.evaluation.predictions import LABEL, Column

ROOT = Path(__file__).resolve().parents[1]
CONTESTANTS = {
    "seed": ["keras_lstm", "seed"],
    "stock": ["keras_lstm", "stock"],
    "tfidf": ["tfidf"],
    "ours": ["ours"],
}
NAMES = {"seed": "the seed's recipe", "stock": "Keras BiLSTM", "tfidf": "TF-IDF + LR", "ours": "ours"}
OURS = NAMES["ours"]
Scores = dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class HeldOut:
    """The labels [rows, labels], and the rows of each set."""

    labels: np.ndarray
    rows: dict[str, np.ndarray]

    @property
    def sets(self) -> list[str]:
        """Return the sets that have rows."""
        return [name for name, chosen in self.rows.items() if chosen.any()]

    def aucs(self, scores: np.ndarray, name: str) -> list[float]:
        """Return the AUC of each label."""
        chosen = self.rows[name]
        return [
            float(roc_auc_score(truth[chosen], score[chosen]))
            for truth, score in zip(self.labels.T, scores.T, strict=True)
        ]

    def resampled(self, scores: np.ndarray, name: str) -> np.ndarray:
        """Return the AUC [1 + resamples, labels + 1] on the unchanged set and on its resamples; last, the labels' mean.

        The resamples are the same for all scores, so differences are paired.
        """
        chosen = self.rows[name]
        columns = [
            Column(label, LABEL, truth[chosen].astype(float), score[chosen])
            for label, truth, score in zip(LABELS, self.labels.T, scores.T, strict=True)
        ]
        return np.asarray(resample("roc_auc", [columns])[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    arguments = parser.parse_args()
    scores: Scores = defaultdict(list)
    seconds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        natural = prepare(arguments.source, arguments.sample_rows, Path(folder))
        held_out = read(Path(folder) / "data" / "test", natural)
        for seed in range(1, arguments.seeds + 1):
            for name in arguments.only:
                report = contest(Path(folder) / "data", name, seed)
                for model, values in report.pop("scores").items():
                    scores[model].append(np.array(values))
                seconds[NAMES[name]].append(report)
    source = name_of(arguments.source, arguments.sample_rows)
    print(f"{machine()}; {source}; mean of {arguments.seeds} seeds\n")
    rows = {name: shown(held_out, seeds) for name, seeds in scores.items()}
    print(table("ROC AUC, held out", [*held_out.sets, *LABELS], rows) + "\n")
    rows = {name: effort(reports) for name, reports in seconds.items()}
    print(table("", ["preparation s", "training s", "together s", "samples/s in training"], rows) + "\n")
    if OURS in scores:
        print(table("mean ROC AUC, first seed", held_out.sets, certainty(held_out, scores)) + "\n")
        errors = [report["calibration"] for report in seconds[OURS]]
        print(table("expected calibration error, each seed", *calibration(errors)))


def prepare(source: Path | None, rows: int, folder: Path) -> set[str]:
    """Write preprocess.py's output to folder/data. Return the ids of the rows with natural rates."""
    natural = write_comments(source, rows, folder / "raw")
    hold_out(folder / "raw", folder / "data")
    return natural


def hold_out(raw: Path, data: Path, *options: str) -> None:
    """Split the rows by preprocess.py with these options."""
    command = [sys.executable, "preprocess.py", "--input-dir", str(raw), "--output-dir", str(data), *options]
    subprocess.run(command, cwd=ROOT / "training", check=True, stdout=subprocess.DEVNULL)


def contest(data: Path, name: str, seed: int, *options: str) -> dict[str, Any]:
    module, *recipe = CONTESTANTS[name]
    command = [sys.executable, "-m", f"benchmarks.contestants.{module}", *recipe, str(data), str(seed), *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    spent = {part: round(report[part], 1) for part in ("preparation", "training")}
    print(f"{name} seed {seed}: {spent}", file=sys.stderr, flush=True)
    return report


def read(folder: Path, natural: set[str]) -> HeldOut:
    frame = pl.concat([pl.read_parquet(path) for path in sorted(folder.glob("*.parquet"))])
    is_natural = np.array([row in natural for row in frame["id"]])
    rows = {"natural": is_natural, "enriched": ~is_natural, "all": np.full(len(frame), True)}
    return HeldOut(frame.select(LABELS).to_numpy(), rows)


def shown(held_out: HeldOut, seeds: list[np.ndarray]) -> list[str]:
    """Return the means over the seeds: of the labels' AUC on each set, and each label's on all rows."""
    aucs = [[held_out.aucs(scores, name) for name in held_out.sets] for scores in seeds]
    means = np.mean([[*map(np.mean, of_sets), *of_sets[-1]] for of_sets in aucs], axis=0)
    return [f"{value:.4f}" for value in means]


def certainty(held_out: HeldOut, scores: Scores) -> dict[str, list[str]]:
    """Return the middle 95 % over resampled rows: of our values, and of our differences from the others."""
    rows = {OURS: [interval(held_out.resampled(scores[OURS][0], name)[:, -1], "{:.4f}") for name in held_out.sets]}
    for rival in scores.keys() - {OURS}:
        models = (scores[OURS][0], scores[rival][0])
        differences = (np.subtract(*(held_out.resampled(model, name) for model in models)) for name in held_out.sets)
        rows[f"{OURS} - {rival}"] = [interval(values[:, -1], "{:+.4f}") for values in differences]
    return rows


def interval(values: np.ndarray, form: str) -> str:
    """Return the first value, measured on the unchanged rows, and the bounds of the other values."""
    low, high = confidence_interval(values[1:]) or (np.nan, np.nan)
    return f"{form.format(values[0])} ({form.format(low)} to {form.format(high)})"


def calibration(errors: list[dict[str, list[float]]]) -> tuple[list[str], dict[str, list[str]]]:
    """Return a table of our calibration errors, and of the errors by chance if the probabilities were exactly true."""
    low, middle, high = np.quantile([error["toxic, if true"] for error in errors], [0.025, 0.5, 0.975])
    toxic = (error["labels"][LABELS.index("toxic")] for error in errors)
    means = (mean(error["labels"]) for error in errors)
    ours = [", ".join(f"{value:.4f}" for value in values) for values in (toxic, means)]
    perfect = [f"{middle:.4f} ({low:.4f} to {high:.4f})", "-"]
    return ["toxic", "mean of the labels"], {OURS: ours, "a perfectly calibrated model": perfect}


def effort(reports: list[dict[str, Any]]) -> list[str]:
    preparation, training = (mean(report[part] for report in reports) for part in ("preparation", "training"))
    return [f"{value:.0f}" for value in (preparation, training, preparation + training, reports[0]["rows"] / training)]


if __name__ == "__main__":
    main()
