"""Measure the time and memory of preprocess.py, compared with three alternatives that make the same kind of dataset.

    python -m benchmarks.preprocessing --rows 100000 1000000 10000000 --repeats 1

The alternatives are pandas row by row, as in the seed, one lazy query of polars, and one query of DuckDB. The queries
neither describe a bad row nor count the values of profile.json.

Prints a Markdown table. The rows come from the built-in sample. Above a million, its rows are repeated with another
number at their end, so that all texts differ. pandas is measured up to a million rows, because it keeps all of them in
memory. Each figure is the median of whole, new processes, with the contestants alternating; the peak memory is the
largest of them. Ten million rows need 20 GB of disk space (in TMPDIR).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.comments import write_sample
from benchmarks.harness import environment, machine

ROOT = Path(__file__).resolve().parents[1]
MOST_SAMPLED = 1_000_000
OURS, PANDAS = "preprocess.py", "pandas, row by row"

# The seed's preprocessing: pandas, the cleaning row by row.
ROW_BY_ROW = r"""
import re, sys
from pathlib import Path
import pandas

URL, BLANKS = re.compile(r"(?:https?://|ftp://|www\.)\S*", re.I), re.compile(r"\s+")
IP = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")

def clean(text):
    return IP.sub("ipaddr", URL.sub("url", BLANKS.sub(" ", text))).strip()

source, output = Path(sys.argv[1]) / "dataset.csv", Path(sys.argv[2])
rows = pandas.read_csv(source)
rows["comment_text"] = rows["comment_text"].apply(clean)
rows = rows.drop_duplicates("comment_text").sample(frac=1, random_state=42)
tenth = len(rows) // 10
for name, part in (("test", rows[:tenth]), ("validation", rows[tenth : 2 * tenth]), ("train", rows[2 * tenth :])):
    part.to_csv(output / f"{name}.csv", index=False)
"""


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command[1]} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, usage.ru_maxrss * unit / 1e6


def make_rows(path: Path, rows: int) -> None:
    """Call ``write_rows`` in a separate process: its memory would count as a peak of this process's children."""
    process = multiprocessing.get_context("spawn").Process(target=write_rows, args=(path, rows))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit("the rows could not be written")


def write_rows(path: Path, rows: int) -> None:
    """Write ``rows`` different comments."""
    write_sample(path, min(rows, MOST_SAMPLED))
    if rows > MOST_SAMPLED:
        frame = pl.read_csv(path, infer_schema=False)
        with path.open("wb") as file:
            for number in range(-(-rows // MOST_SAMPLED)):
                repeated = frame.with_columns(pl.col("comment_text") + f" {number}").head(rows - number * MOST_SAMPLED)
                repeated.write_csv(file, include_header=not number)


def contestants(source: Path) -> dict[str, list[str]]:
    """Return a command for each contestant. The output folder is its last argument."""
    duckdb = str(environment("duckdb", "duckdb", "polars", "pyarrow") / "python")
    pandas = str(environment("pandas", "pandas") / "python")
    scripts = ROOT / "benchmarks" / "contestants"
    return {
        OURS: [sys.executable, "preprocess.py", "--input-dir", str(source), "--output-dir"],
        "polars, one query": [sys.executable, str(scripts / "preprocess_polars.py"), str(source)],
        "DuckDB, one query": [duckdb, str(scripts / "preprocess_duckdb.py"), str(source)],
        PANDAS: [pandas, "-c", ROW_BY_ROW, str(source)],
    }


def contest(source: Path, rows: int, repeats: int) -> dict[str, list[tuple[float, float]]]:
    commands = contestants(source)
    if rows > MOST_SAMPLED:
        commands.pop(PANDAS)
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            with tempfile.TemporaryDirectory() as folder:
                results[name].append(measure([*command, folder], ROOT / "training"))
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{machine()}\n")
    print("| rows | contestant | seconds | rows/s | peak MB |\n|---|---|---|---|---|")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            make_rows(Path(folder) / "dataset.csv", rows)
            for name, figures in contest(Path(folder), rows, arguments.repeats).items():
                seconds = median(figure[0] for figure in figures)
                peak = max(figure[1] for figure in figures)
                print(f"| {rows:,} | {name} | {seconds:.1f} | {rows / seconds:,.0f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
