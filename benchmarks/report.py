"""Measure the time of a report and its size, by the number of test rows and labels.

    python -m benchmarks.report --repeats 5

Prints a Markdown table. Each figure is the median of whole processes that read the files of a training, compare two
models (1,000 resamples) and write the page. Predictions and comments are generated. Besides the elapsed seconds, the
table has the processor seconds, which are more reliable on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.component.report.materials import predictions

SIZES = ((2_000, 6), (4_000, 6), (20_000, 6), (20_000, 24))
MAKE = """
import sys
from pathlib import Path
from tests.component.report.materials import make
from mlops_cli.report import report_html
new, live, texts, page = map(Path, sys.argv[1:5])
labels = tuple(sys.argv[5:])
made = make(labels, new.read_bytes(), texts.read_bytes(), rival=live.read_bytes())
page.write_text(report_html(made), "utf-8")
"""


def measure(folder: Path, rows: int, labels: int, repeats: int) -> tuple[float, float, int]:
    """Return the elapsed and the processor seconds, and the page's size in bytes."""
    names = tuple(f"label_{index}" for index in range(labels))
    files = [folder / name for name in ("new.json", "live.json", "texts.json", "report.html")]
    files[0].write_bytes(predictions(names, rows))
    files[1].write_bytes(predictions(names, rows, quality=0.3, noise=99))
    files[2].write_text(json.dumps([f"comment {index} " + "word " * 60 for index in range(rows)]))
    command = [sys.executable, "-c", MAKE, *map(str, files), *names]
    clock, processor = zip(*(_seconds(command) for _ in range(repeats)), strict=True)
    return median(clock), median(processor), files[3].stat().st_size


def _seconds(command: list[str]) -> tuple[float, float]:
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print("| test rows | labels | seconds | processor | kB |\n|---|---|---|---|---|")
    for rows, labels in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            clock, processor, size = measure(Path(folder), rows, labels, repeats)
        print(f"| {rows:,} | {labels} | {clock:.2f} | {processor:.2f} | {size / 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main()
