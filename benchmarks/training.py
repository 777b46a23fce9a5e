"""Measure the speed of the training and of its parts, compared with the seed's network and a stock Keras BiLSTM.

    python -m benchmarks.training --repeats 2 --source JIGSAW

The rows and held-out rows are those of `quality`. Each training is measured twelve times on the held-out rows: the mean
of the labels' ROC AUC. The time of measuring does not count; preparation (reading, vocabulary) counts. Prints two
Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.comments import add_source, name_of
from benchmarks.harness import machine, table
from benchmarks.quality import NAMES, ROOT, contest, prepare

ENTRANTS = ("ours", "stock", "seed")
POINTS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_source(parser)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--aucs", type=float, nargs="+", default=[0.9, 0.95, 0.96, 0.97])
    arguments = parser.parse_args()
    reports_by_name: dict[str, list[dict[str, Any]]] = {name: [] for name in ENTRANTS}
    with tempfile.TemporaryDirectory() as folder:
        prepare(arguments.source, arguments.sample_rows, Path(folder))
        for repeat in range(1, arguments.repeats + 1):
            for name in ENTRANTS:
                reports_by_name[name].append(contest(Path(folder) / "data", name, repeat, "--points", str(POINTS)))
        parts = profile(Path(folder) / "data")
    source = name_of(arguments.source, arguments.sample_rows)
    print(f"{machine()}; {source}; median of {arguments.repeats}\n")
    columns = ["samples/s", "times ours", *(f"s to AUC {auc}" for auc in arguments.aucs), "total s", "final AUC"]
    print(
        table(
            "",
            columns,
            {
                NAMES[name]: cells(reports, reports_by_name["ours"], arguments.aucs)
                for name, reports in reports_by_name.items()
            },
        )
    )
    print()
    print(table("time of ours", ["s"], {name: [f"{seconds:.1f}"] for name, seconds in parts.items()}))


def cells(reports: list[dict[str, Any]], ours: list[dict[str, Any]], aucs: list[float]) -> list[str]:
    rate, reference = speed(reports), speed(ours)
    reached = [[seconds_to(auc, report) for report in reports] for auc in aucs]
    return [
        *(f"{rate:.0f}", f"{rate / reference:.2f}"),
        *("never" if None in times else f"{median(times):.0f}" for times in reached),  # type: ignore[type-var]
        f"{median(report['preparation'] + report['training'] for report in reports):.0f}",
        f"{median(report['curve'][-1][1] for report in reports):.4f}",
    ]


def speed(reports: list[dict[str, Any]]) -> float:
    return median(report["rows"] / report["training"] for report in reports)


def seconds_to(auc: float, report: dict[str, Any]) -> float | None:
    """Return the seconds from the start, with preparation, to the curve's first point that is as good."""
    times = (seconds for seconds, reached in report["curve"] if reached >= auc)
    first = next(times, None)
    return None if first is None else report["preparation"] + first


def profile(data: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.contestants.profile", str(data)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    parts: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return parts


if __name__ == "__main__":
    main()
