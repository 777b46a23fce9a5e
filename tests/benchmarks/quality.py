"""How good and how quickly trained the model is, beside what one would otherwise take; on the real comments.

    python -m tests.benchmarks.quality --source ../shared/data/jigsaw --seeds 2

All train on the same rows (preprocess.py's train/) and are scored on the same held-out ones (its test/, which nothing
is tuned on): on those of train.csv, which have natural rates (natural), and on those of extra.csv, which has more
positives (enriched), both as the mean of the labels' ROC AUC. Prints two Markdown tables.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import polars as pl
from sklearn.metrics import roc_auc_score

from tests.benchmarks.contestants.data import LABELS
from tests.benchmarks.harness import machine, table

ROOT = Path(__file__).resolve().parents[2]
FILES = ("train.csv.gz", "extra.csv.gz")
CONTESTANTS = {
    "seed": ["keras_lstm", "seed"],
    "stock": ["keras_lstm", "stock"],
    "tfidf": ["tfidf"],
    "ours": ["ours"],
}
NAMES = {"seed": "the seed's recipe", "stock": "Keras BiLSTM", "tfidf": "TF-IDF + LR", "ours": "ours"}
SETS = ("natural", "enriched", "all")
Scores = dict[str, list[dict[str, float]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=ROOT.parent / "shared" / "data" / "jigsaw")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS))
    arguments = parser.parse_args()
    scores: Scores = defaultdict(list)
    seconds: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        natural = prepare(arguments.source, Path(folder))
        for seed in range(1, arguments.seeds + 1):
            for name in arguments.only:
                report = contest(Path(folder) / "data", name, seed)
                for model, values in report.pop("scores").items():
                    scores[model].append(aucs(Path(folder) / "data", values, natural))
                seconds[NAMES[name]].append(report)
    print(f"{machine()}; mean of {arguments.seeds} seeds\n")
    print(table("ROC AUC, held out", [*SETS, *LABELS], {name: shown(found) for name, found in scores.items()}))
    print()
    rows = {name: effort(found) for name, found in seconds.items()}
    print(table("", ["preparation s", "training s", "together s", "samples/s in training"], rows))


def prepare(source: Path, folder: Path) -> set[str]:
    """preprocess.py's output in folder/data; the ids that have natural rates."""
    (folder / "raw").mkdir()
    for name in FILES:
        (folder / "raw" / name.removesuffix(".gz")).write_bytes(gzip.decompress((source / name).read_bytes()))
    command = [sys.executable, "preprocess.py", "--input-dir", str(folder / "raw")]
    subprocess.run(
        [*command, "--output-dir", str(folder / "data")], cwd=ROOT / "training", check=True, stdout=subprocess.DEVNULL
    )
    with (folder / "raw" / "train.csv").open(newline="", encoding="utf-8") as file:
        return {row["id"] for row in csv.DictReader(file)}


def contest(data: Path, name: str, seed: int, *options: str) -> dict[str, Any]:
    module, *recipe = CONTESTANTS[name]
    command = [sys.executable, "-m", f"tests.benchmarks.contestants.{module}", *recipe, str(data), str(seed), *options]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    spent = {part: round(report[part], 1) for part in ("preparation", "training")}
    print(f"{name} seed {seed}: {spent}", file=sys.stderr, flush=True)
    return report


def aucs(data: Path, values: list[list[float]], natural: set[str]) -> dict[str, float]:
    frame = pl.concat([pl.read_parquet(path) for path in sorted((data / "test").glob("*.parquet"))])
    scored = frame.with_columns(pl.Series("natural", [row in natural for row in frame["id"]]))
    scored = scored.hstack(pl.DataFrame(values, schema=[f"score {label}" for label in LABELS], orient="row"))
    parts = {"natural": scored.filter("natural"), "enriched": scored.filter(~pl.col("natural")), "all": scored}
    found = {name: mean(auc(part, label) for label in LABELS) for name, part in parts.items()}
    return {**found, **{label: auc(scored, label) for label in LABELS}}


def auc(rows: pl.DataFrame, label: str) -> float:
    return float(roc_auc_score(rows[label], rows[f"score {label}"]))


def shown(found: list[dict[str, float]]) -> list[str]:
    return [f"{mean(one[column] for one in found):.4f}" for column in (*SETS, *LABELS)]


def effort(found: list[dict[str, Any]]) -> list[str]:
    preparation, training = (mean(one[part] for one in found) for part in ("preparation", "training"))
    return [f"{value:.0f}" for value in (preparation, training, preparation + training, found[0]["rows"] / training)]


if __name__ == "__main__":
    main()
