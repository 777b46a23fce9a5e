"""Compare the training of two or more commits in one run: quality on the same held-out rows, and time.

    python -m benchmarks.revisions 698c50e HEAD --seeds 3 --source JIGSAW

All commits train on the rows that this folder's preprocess.py writes; `.` is this folder itself. A seed determines the
training and the draw of the held-out rows, a fifth of all rows, so that no single seed or draw decides. The sets are
those of `quality`. For each seed the commits alternate. Prints Markdown tables: the means over the seeds, the
differences from the first commit with the middle 95 % over resampled held-out rows, each seed's values, and the mean
seconds of preprocess.py and train.py as whole processes.
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
from benchmarks.quality import ROOT, HeldOut, hold_out, interval, read
from mlops_cli.core.jobs.script_environment import BOOTSTRAP
from mlops_cli.evaluation.predictions import read_predictions
from mlops_cli.project.usecase.reader import load_use_case

CHANNELS = ("train", "validation", "test")
HELD_OUT = 0.2  # of all rows
EACH_SEED = ("average_precision", "calibration_error")


@dataclass
class Revision:
    """A commit's training/, and the results of its trainings: one list entry for each seed."""

    name: str
    training: Path
    # By the set of held-out rows: the AUC [1 + resamples, labels + 1] of `HeldOut.resampled`.
    aucs: list[dict[str, np.ndarray]] = field(default_factory=list)
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


def train(revision: Revision, seed: int, raw: Path, data: Path, held_out: HeldOut, folder: Path) -> None:
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
    revision.aucs.append({name: held_out.resampled(scores, name) for name in held_out.sets})
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


def over_seeds(revision: Revision) -> list[np.ndarray]:
    """Return the means over the seeds: of the labels' mean AUC on each set, and of each label's on all rows.

    Each has the value on the unchanged rows, then those on the resamples.
    """
    means = {name: np.mean([aucs[name] for aucs in revision.aucs], axis=0) for name in revision.aucs[0]}
    return [*(values[:, -1] for values in means.values()), *means["all"].T[:-1]]


def quality(revision: Revision) -> list[str]:
    return [f"{values[0]:.4f}" for values in over_seeds(revision)]


def differences(revision: Revision, first: Revision) -> list[str]:
    return [
        interval(ours - theirs, "{:+.4f}") for ours, theirs in zip(over_seeds(revision), over_seeds(first), strict=True)
    ]


def each_seed(revision: Revision) -> list[str]:
    """Return, for every seed, the mean of the labels' AUC on each set, and the means of two metrics on all rows."""
    columns = [[aucs[name][0, -1] for aucs in revision.aucs] for name in revision.aucs[0]]
    columns += [[metrics["macro"][name] for metrics in revision.metrics] for name in EACH_SEED]
    return [", ".join(f"{value:.4f}" for value in column) for column in columns]


def other_metrics(revision: Revision) -> list[str]:
    def metric(label: str, name: str) -> str:
        return f"{mean(metrics[label][name] for metrics in revision.metrics):.4f}"

    return [
        metric("macro", "average_precision"),
        metric("macro", "calibration_error"),
        *(metric(label, "calibration_error") for label in LABELS),
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
                    train(revision, seed, folder / "raw", data, held_out, Path(output))
    print(f"{machine()}; {name_of(arguments.source, arguments.sample_rows)}; mean of {arguments.seeds} seeds\n")
    sets = list(revisions[0].aucs[0])
    print(table("ROC AUC, held out", [*sets, *LABELS], {each.name: quality(each) for each in revisions}) + "\n")
    first, *others = revisions
    rows = {f"{each.name} - {first.name}": differences(each, first) for each in others}
    print(table("difference", [*sets, *LABELS], rows) + "\n")
    columns = [*sets, "average precision", "calibration error"]
    print(table("each seed", columns, {each.name: each_seed(each) for each in revisions}) + "\n")
    columns = ["average precision", "calibration error", *LABELS, "preprocess.py s", "train.py s"]
    print(table("all held-out rows", columns, {each.name: other_metrics(each) for each in revisions}))


if __name__ == "__main__":
    main()
