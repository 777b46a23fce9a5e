"""The scripts of training/ as jobs run them, and their data."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

TRAINING = Path(__file__).resolve().parents[2] / "training"
# The folder with mlops_scripts, as mlops puts it on Python's path.
LIBRARY = TRAINING.parent / "mlops_cli" / "core" / "bootstrap"
HEADER = ["id", "comment_text", "toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
Row = tuple[str, str, int, int, int, int, int, int]


def write_csv(path: Path, rows: Iterable[Iterable[object]]) -> int:
    """Write rows below the header. Return the size of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return path.stat().st_size


def run_script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script of training/ as a job does."""
    command = [sys.executable, name, *map(str, arguments)]
    return subprocess.run(
        command, cwd=TRAINING, env={"PATH": "/usr/bin:/bin", **environment}, capture_output=True, text=True
    )


def train(dataset: Path, output: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return run_script("train.py", *arguments, **job_variables(dataset, output))


def job_variables(dataset: Path, output: Path) -> dict[str, str]:
    """Return the SM_* variables that train.py needs."""
    channels = {f"SM_CHANNEL_{name.upper()}": str(dataset / name) for name in ("train", "validation", "test")}
    folders = {"SM_MODEL_DIR": str(output / "model"), "SM_OUTPUT_DATA_DIR": str(output / "output")}
    return {**channels, **folders, "PYTHONPATH": str(LIBRARY)}


# A training that takes no time once TensorFlow is there.
TINY = ("--epochs", 1, "--lstm_units", 4, "--embedding_size", 8, "--batch_size", 128)
