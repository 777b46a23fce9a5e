"""Counts of measured requests on disk: one small file for each model, by day, however many requests there are.

A package's measurements (see mlops_cli/monitoring/statistics.py) arrive through its logger. Each one is added to the
file under a lock, and the file is replaced as a whole, so that workers do not lose each other's counts. A killed worker
loses only the counts of the last seconds, which it has not logged yet.
"""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

from mlops_cli.files.atomic import read_json, write_atomically
from mlops_cli.monitoring.statistics import (
    FILE,
    KEPT_DAYS,
    LOGGER,
    Counts,
    parse_counts,
    parse_log_line,
    parse_references,
    recent_days,
)
from mlops_cli.serving.control_files import Deployment, hold_lock

log = logging.getLogger("mlops.server")

LOCK_SECONDS = 5.0


def collect_statistics(folder: Path, package: Path, deployment: Deployment) -> None:
    """Let the package's handlers measure a share of the requests, and add their counts. Call it before they load.

    Do nothing for a package without measurements.
    """
    reference = package / "code" / FILE
    if not reference.is_file():
        log.info("sampling is on, but the package has no code/%s: there is nothing to measure", FILE)
        return
    try:
        names = frozenset(parse_references(reference.read_bytes()))
    except ValueError as error:  # a model without measurements can still be served
        log.error("code/%s cannot be read: %s", FILE, error)
        return
    folder.mkdir(exist_ok=True)
    _remove_old_days(folder)
    os.environ.update(MLOPS_SAMPLE=repr(deployment.sample), MLOPS_MODEL_DIGEST=deployment.digest)
    logger = logging.getLogger(LOGGER)
    logger.propagate = False
    logger.addHandler(StatisticsHandler(folder / f"{deployment.digest}.json", names))


class StatisticsHandler(logging.Handler):
    """Adds every line of counts to a file. Ignores all other lines."""

    def __init__(self, file: Path, names: frozenset[str]) -> None:
        super().__init__()
        self._file = file
        self._names = names

    def emit(self, record: logging.LogRecord) -> None:
        line = parse_log_line(record.getMessage())
        if line is None or not self._names.issuperset(line[1].measures):
            log.warning("the model package sent invalid request statistics")
            return
        try:
            add_counts(self._file, line[1])
        except (OSError, TimeoutError) as error:
            log.error("counts of %d requests are lost: %s", line[1].requests, error)


def add_counts(file: Path, counts: Counts) -> None:
    """Add to the file. Raise OSError, or TimeoutError if another process holds the file."""
    with hold_lock(file.with_suffix(".lock"), exclusive=True, seconds=LOCK_SECONDS):
        days = _read(file)
        (today,) = recent_days(1)
        days.setdefault(today, Counts()).add(counts)
        kept = recent_days(KEPT_DAYS)
        content = {day: day_counts.to_dict() for day, day_counts in sorted(days.items()) if day in kept}
        write_atomically(file, json.dumps(content, indent=1))


def read_counts(folder: Path, digest: str, days: int) -> Counts:
    """Return the counts of a model's requests in the last days."""
    counts_by_day, total = _read(folder / f"{digest}.json"), Counts()
    for day in recent_days(days):
        total.add(counts_by_day.get(day, Counts()))
    return total


def _read(file: Path) -> dict[str, Counts]:
    days = {day: parse_counts(content) for day, content in (read_json(file) or {}).items()}
    return {day: counts for day, counts in days.items() if counts}


def _remove_old_days(folder: Path) -> None:
    """Remove the counts of models that have not been live for this number of days."""
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
            path.unlink()
