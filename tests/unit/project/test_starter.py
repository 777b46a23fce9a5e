"""The scripts that `init` writes, on tables that a user may use instead of the sample."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

from mlops_cli.core.jobs.script_environment import BOOTSTRAP
from tests.conftest import ROOT

TRAINING = ROOT / "mlops_cli" / "project" / "scaffold" / "starter" / "minimal" / "training"
HEADER = ["months", "left", "note"]
NOTES = ["two\nlines", "a\r\nb", "one\u2028line", 'she said ""hi"", "no"', " x ", "", "\x85\x0b\x0c", "é" * 200_000]


def table(path: Path) -> list[list[str]]:
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def test_no_row_is_torn(tmp_path):
    rows = [[str(number), str(number % 2), NOTES[number % len(NOTES)]] for number in range(300)]
    with (tmp_path / "dataset.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, str(TRAINING / "preprocess.py"), "--input-dir", str(tmp_path), "--output-dir", str(out)]
    subprocess.run(command, check=True, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONPATH": str(BOOTSTRAP)})
    splits = {split: table(out / split / "data.csv") for split in ("train", "test")}
    assert {split: (header, len(part)) for split, (header, *part) in splits.items()} == {
        "train": (HEADER, 240),
        "test": (HEADER, 60),
    }
    assert sorted([*splits["train"][1:], *splits["test"][1:]]) == sorted(rows)
    gate = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TRAINING / "tests/test_pretraining.py")]
    done = subprocess.run(
        gate,
        env={"MLOPS_DATA_DIR": str(out), "LC_ALL": "C", "PYTHONPATH": str(BOOTSTRAP)},
        capture_output=True,
        text=True,
    )
    assert "2 passed" in done.stdout, done.stdout
