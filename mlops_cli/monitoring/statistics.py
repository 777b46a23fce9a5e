"""An endpoint's request statistics, as counts, and the training reference to which they are compared.

A model package with statistics (see mlops_scripts/observation.py) logs a line of counts every few seconds. This module
accepts only numbers and the names of features. So no text of a request gets through, whatever a package logs.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.files.json_text import parse_json

LOGGER, LINE = "mlops.observed", "mlops-observed"
# A header of requests and responses, in which our endpoints return their model's digest.
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
# Marks a test request, excluded from the statistics.
EXCLUDE_FROM_STATISTICS = "mlops-unobserved"
FILE = "observed.json"
MOST_MEASURES, MOST_BINS = 100, 100
KEPT_DAYS = 30
_NAME = re.compile(r"\w[\w .:/-]{0,63}")


@dataclass
class Histogram:
    """The number of values in each bin, numbered from 0, and the sum of the values."""

    total: float = 0.0
    counts: dict[int, float] = field(default_factory=dict)

    @property
    def rows(self) -> float:
        return sum(self.counts.values())

    def add(self, histogram: Histogram) -> None:
        self.total += histogram.total
        for bin_index, count in histogram.counts.items():
            self.counts[bin_index] = self.counts.get(bin_index, 0) + count

    def to_dict(self) -> dict[str, Any]:
        return {
            "sum": self.total,
            "counts": {str(bin_index): count for bin_index, count in sorted(self.counts.items())},
        }


@dataclass
class Counts:
    """Counts of the measured requests. ``squares``: the sum of the squares of their numbers of rows."""

    requests: int = 0
    rows: int = 0
    squares: int = 0
    measures: dict[str, Histogram] = field(default_factory=dict)

    @property
    def independent(self) -> float:
        """The effective share of independent rows, if all rows of one request are alike (Kish)."""
        return self.rows / self.squares if self.squares else 0.0

    def add(self, counts: Counts) -> None:
        self.requests += counts.requests
        self.rows += counts.rows
        self.squares += counts.squares
        for name, histogram in counts.measures.items():
            self.measures.setdefault(name, Histogram()).add(histogram)

    def to_dict(self) -> dict[str, Any]:
        measures = {name: histogram.to_dict() for name, histogram in sorted(self.measures.items())}
        return {"requests": self.requests, "rows": self.rows, "squares": self.squares, "measures": measures}


@dataclass(frozen=True)
class Reference:
    """One feature in rows outside of the training split: the bounds of its bins, and their counts."""

    mean: float
    cuts: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def rows(self) -> float:
        return sum(self.counts)


@dataclass(frozen=True)
class RequestStatistics:
    """The live model's requests in the last ``days``. ``sample``: the measured share."""

    endpoint: str
    model: str
    sample: float
    days: int
    reference: Mapping[str, Reference]
    counts: Counts


def parse_counts(content: Any) -> Counts | None:
    """Return the Counts in a ``to_dict`` document; None for anything but numbers with names."""
    try:
        requests, rows, squares = (int(content[name]) for name in ("requests", "rows", "squares"))
        measures = {_name(name): _histogram(value) for name, value in content["measures"].items()}
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
        return None
    is_valid = min(requests, rows, squares) >= 0 and len(measures) <= MOST_MEASURES
    return Counts(requests, rows, squares, measures) if is_valid else None


def parse_log_line(line: str) -> tuple[str, Counts] | None:
    """Return the model's digest and the counts in a log line; None for any other line."""
    _, marker, text = line.partition(f"{LINE} ")
    if not marker:
        return None
    try:
        content = parse_json(text)
    except ValueError:
        return None
    counts = parse_counts(content)
    return (str(content.get("model", "")), counts) if counts else None


def parse_references(text: str | bytes) -> dict[str, Reference]:
    """Return the references in observed.json. Raise ValueError for another form."""
    try:
        measures = parse_json(text)["measures"]
        return {_name(name): _reference(value) for name, value in measures.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def recent_days(days: int) -> list[str]:
    """Return the dates (UTC) of the last days, today's date last."""
    now = time.time()
    return [time.strftime("%Y-%m-%d", time.gmtime(now - 86_400 * back)) for back in reversed(range(days))]


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("not a measurement's name")
    return value


def _reference(value: Any) -> Reference:
    cuts, counts = ([_number(number) for number in value[name]] for name in ("cuts", "counts"))
    if len(counts) != len(cuts) + 1 or cuts != sorted(cuts) or min(counts) < 0:
        raise ValueError("a measurement's counts must be one more than its cuts, which ascend")
    return Reference(_number(value["mean"]), tuple(cuts), tuple(counts))


def _histogram(value: Any) -> Histogram:
    counts = {int(bin_index): _number(count) for bin_index, count in value["counts"].items()}
    if len(counts) > MOST_BINS or not all(
        0 <= bin_index < MOST_BINS and count >= 0 for bin_index, count in counts.items()
    ):
        raise ValueError("not a histogram")
    return Histogram(_number(value["sum"]), counts)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)
