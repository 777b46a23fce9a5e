"""Compare the training of two or more commits in one run: quality on the same held-out rows, and time.

    python -m benchmarks.revisions 698c50e HEAD --seeds 3 --source JIGSAW

All commits train on the rows that this folder's preprocess.py writes; `.` is this folder itself. A seed determines the
training and the draw of the held-out rows, a fifth of all rows, so that no single seed or draw decides. The sets are
those of `quality`. For each seed the commits alternate. Prints Markdown tables: the means over the seeds, each seed's
mean ROC AUC, and the mean seconds of preprocess.py and train.py as whole processes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.comments import add_source, name_of, write_comments
from benchmarks.contestants.data import LABELS
from benchmarks.harness import machine, table
from benchmarks.quality import ROOT, HeldOut, hold_out, read
from mlops_cli.core.jobs.script_environment import BOOTSTRAP
from mlops_cli.evaluation.predictions import read_predictions
from mlops_cli.project.usecase.reader import load_use_case

CHANNELS = ("train", "validation", "test")
HELD_OUT = 0.2  # of all rows


@dataclass
class Revision:
    """A commit's training/, and the results of its trainings: one list entry for each seed."""

    name: str
    training: Path
    aucs: list[dict[str, list[float]]] = field(default_factory=list)  # of the labels, by the set of held-out rows
    metrics: list[dict[str, Any]] = field(default_factory=list)
    preprocess_seconds: list[float] = field(default_factory=list)
    train_seconds: list[float] = field(default_factory=list)


def check_out(name: str, folder: Path) -> Revision:
    """Write the training/ of a commit into the folder; "." is used in place."""
    if name == ".":
        return Revision("this folder", ROOT / "training")
    archive = subprocess.run(["git", "archive", name, "training"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder / name, filter="data")
    return Revision(name, folder / name / "training")


def run(revision: Revision, seed: int, raw: Path, data: Path, held_out: HeldOut, folder: Path) -> None:
    revision.preprocess_seconds.append(
        seconds(revision, {}, "preprocess.py", "--input-dir", raw, "--output-dir", folder / "data")
    )
    channels = {f"SM_CHANNEL_{name.upper()}": str(data / name) for name in CHANNELS}
    folders = {"SM_MODEL_DIR": str(folder / "model"), "SM_OUTPUT_DATA_DIR": str(folder / "output")}
    values = {**load_use_case(revision.training / "usecase.toml").hyperparameters["train"], "seed": seed}
    options = [part for name, value in values.items() for part in (f"--{name}", value)]
    revision.train_seconds.append(seconds(revision, {**channels, **folders}, "train.py", *options))
    predictions = read_predictions((folder / "output" / "predictions.json").read_bytes())
    scores = np.stack([column.predicted for column in predictions.columns], axis=1)
    revision.aucs.append({name: held_out.aucs(scores, name) for name in held_out.sets})
    revision.metrics.append(json.loads((folder / "output" / "metrics.json").read_text())["metrics"]["test"])
    print(f"{revision.name} seed {seed}: {revision.train_seconds[-1]:.1f} s", file=sys.stderr, flush=True)


def seconds(revision: Revision, variables: dict[str, str], script: str, *arguments: object) -> float:
    command = [sys.executable, script, *map(str, arguments)]
    environment = {**os.environ, **variables, "PYTHONPATH": str(BOOTSTRAP), "PYTHONDONTWRITEBYTECODE": "1"}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=revision.training, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{script} of {revision.name} ended with {done.returncode}: {done.stderr[-1000:]}")
    return time.perf_counter() - start


def quality(revision: Revision) -> list[str]:
    """Return the means over the seeds: of the labels' AUC on each set, and of each label's on all rows."""
    means = np.mean([[*map(np.mean, aucs.values()), *aucs["all"]] for aucs in revision.aucs], axis=0)
    return [f"{value:.4f}" for value in means]


def each_seed(revision: Revision) -> list[str]:
    """Return, for every seed, the mean of the labels' AUC on each set."""
    means = [[float(np.mean(values)) for values in aucs.values()] for aucs in revision.aucs]
    return [", ".join(f"{value:.4f}" for value in column) for column in zip(*means, strict=True)]


def other_metrics(revision: Revision) -> list[str]:
    def over_seeds(label: str, metric: str) -> str:
        return f"{mean(metrics[label][metric] for metrics in revision.metrics):.4f}"

    return [
        over_seeds("macro", "average_precision"),
        over_seeds("macro", "calibration_error"),
        *(over_seeds(label, "calibration_error") for label in LABELS),
        f"{mean(revision.preprocess_seconds):.1f}",
        f"{mean(revision.train_seconds):.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commits", nargs="+", help="any name of a commit; . is this folder as it is")
    add_source(parser)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        natural = write_comments(arguments.source, arguments.sample_rows, folder / "raw")
        revisions = [check_out(commit, folder) for commit in arguments.commits]
        for seed in range(1, arguments.seeds + 1):
            data = folder / f"data-{seed}"
            hold_out(folder / "raw", data, "--seed", str(seed), "--test_fraction", str(HELD_OUT))
            held_out = read(data / "test", natural)
            for revision in revisions:
                with tempfile.TemporaryDirectory() as output:
                    run(revision, seed, folder / "raw", data, held_out, Path(output))
    print(f"{machine()}; {name_of(arguments.source, arguments.sample_rows)}; mean of {arguments.seeds} seeds\n")
    sets = list(revisions[0].aucs[0])
    print(table("ROC AUC, held out", [*sets, *LABELS], {each.name: quality(each) for each in revisions}) + "\n")
    print(table("ROC AUC of each seed", sets, {each.name: each_seed(each) for each in revisions}) + "\n")
    columns = ["average precision", "calibration error", *LABELS, "preprocess.py s", "train.py s"]
    print(table("all held-out rows", columns, {each.name: other_metrics(each) for each in revisions}))


if __name__ == "__main__":
    main()
