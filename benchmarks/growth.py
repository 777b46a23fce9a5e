"""Measure how time and memory grow with rows and workers: all of preprocess.py, the first minute of train.py.

    python -m benchmarks.growth --rows 100000 1000000 10000000 --workers 1 --seconds 20

The rows are those of the preprocessing benchmark. A training is measured from its start until it has made steps for
--seconds, and is then ended. The time of all epochs is extrapolated from its speed, without the evaluation. Memory is
the peak of each process (Linux). Ten million rows need 12 GB of disk space (in TMPDIR). Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.preprocessing import ROOT, make_rows, measure
from mlops_cli.core.jobs.script_environment import BOOTSTRAP
from mlops_cli.project.usecase.reader import load_use_case

SETTINGS = load_use_case(ROOT / "training" / "usecase.toml").hyperparameters["train"]
SPLITS = ("train", "validation", "test")
COLUMNS = [
    "rows",
    "preprocess.py s",
    "MB",
    "workers",
    "until the first step s",
    "samples/s",
    "MB each",
    "whole training s",
]


@dataclass(frozen=True)
class Start:
    """The seconds until a training's first step, samples per second after it, and the largest worker's peak memory."""

    preparation: float
    rate: float
    megabytes: float


def watch(data: Path, output: Path, workers: int, seconds: float) -> Start:
    channels = {f"SM_CHANNEL_{name.upper()}": str(data / name) for name in SPLITS}
    folders = {"SM_MODEL_DIR": str(output / "model"), "SM_OUTPUT_DATA_DIR": str(output / "output")}
    command = [sys.executable, "train.py", "--workers", str(workers)]
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT / "training",
            env={**os.environ, **channels, **folders, "PYTHONPATH": str(BOOTSTRAP), "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        points, peak = follow(process, seconds)
        if len(points) < 2:
            errors.seek(0)
            raise SystemExit(
                f"train.py made less than two steps and ended with {process.returncode}: give more --rows, "
                f"or see its errors: {errors.read()[-1000:]}"
            )
    (begun, first), (ended, last) = points[0], points[-1]
    return Start(begun - started, int(SETTINGS["batch_size"]) * (last - first) / (ended - begun), peak)


def follow(process: subprocess.Popen[str], seconds: float) -> tuple[list[tuple[float, int]], float]:
    """Read progress lines for some seconds, then end the session. Return times and steps, and the peak in MB."""
    points: list[tuple[float, int]] = []
    peak = 0.0
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.match(r"progress (\d+)/", line):
            points.append((time.perf_counter(), int(match[1])))
            peak = max(peak, largest(process.pid))
            if points[-1][0] - points[0][0] > seconds:
                break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return points, peak


def largest(session: int) -> float:
    """Return the peak memory in MB of the session's largest process so far."""
    peaks = [0.0]
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(folder.name)) == session:
                (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", (folder / "status").read_text())
                peaks.append(int(kilobytes) * 1024 / 1e6)
        except (OSError, ValueError):
            continue
    return max(peaks)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=45)
    arguments = parser.parse_args()
    print(f"{machine()}\n\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|", flush=True)
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "raw").mkdir()
            make_rows(folder / "raw" / "dataset.csv", rows)
            command = [sys.executable, "preprocess.py", "--input-dir", str(folder / "raw")]
            spent, peak = measure([*command, "--output-dir", str(folder / "data")], ROOT / "training")
            (folder / "raw" / "dataset.csv").unlink()
            for workers in arguments.workers:
                start = watch(folder / "data", folder / "out", workers, arguments.seconds)
                whole = start.preparation + int(SETTINGS["epochs"]) * 0.8 * rows / start.rate
                figures = [f"{start.preparation:.0f}", f"{start.rate:,.0f}", f"{start.megabytes:,.0f}", f"{whole:,.0f}"]
                print(f"| {rows:,} | {spent:.1f} | {peak:.0f} | {workers} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
