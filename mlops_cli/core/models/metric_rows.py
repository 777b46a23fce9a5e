"""The rows of metrics.json, with their limits and the live model's values."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from mlops_cli.core.models.metric_bounds import Metrics

Rows = dict[str, dict[str, Any]]
NEAR = 0.75
LONGEST = 40  # the shown characters of a value that is no number


@dataclass(frozen=True)
class MetricRow:
    """One row of the metrics (a label, or the mean over all) with its limits and the live model's value.

    ``not_numbers``: values in metrics.json that are no numbers, for example Infinity or true.
    """

    name: str
    metrics: dict[str, float | None]
    minimum: dict[str, float]
    live: dict[str, float | None]
    maximum: dict[str, float] = field(default_factory=dict)
    not_numbers: dict[str, str] = field(default_factory=dict)

    @property
    def below(self) -> list[str]:
        """The metrics with a value below their minimum."""
        return [
            name for name, value in self._values(self.minimum) if value is not None and not value >= self.minimum[name]
        ]

    @property
    def above(self) -> list[str]:
        """The metrics with a value above their maximum."""
        return [
            name for name, value in self._values(self.maximum) if value is not None and not value <= self.maximum[name]
        ]

    @property
    def absent(self) -> list[str]:
        """The metrics that have a limit but no value."""
        return [name for name, value in self._values({**self.minimum, **self.maximum}) if value is None]

    @property
    def violations(self) -> dict[str, str]:
        """The metrics that violate a limit, each with the kind: under, over, missing, not a number."""
        violations = {**dict.fromkeys(self.below, "under"), **dict.fromkeys(self.above, "over")}
        return violations | {name: "not a number" if name in self.not_numbers else "missing" for name in self.absent}

    def limits(self, name: str) -> dict[str, float]:
        """Return a metric's minimum and maximum, if they are set."""
        sides = (("minimum", self.minimum), ("maximum", self.maximum))
        return {side_name: side[name] for side_name, side in sides if name in side}

    @property
    def shortfalls(self) -> list[str]:
        """The violated limits, as text."""
        under = [f"{self._shown(name)} is under {self.minimum[name]:g}" for name in self.below]
        over = [f"{self._shown(name)} is over {self.maximum[name]:g}" for name in self.above]
        return [*under, *over, *(f"{self.name}: {name} {self._absence(name)}" for name in self.absent)]

    def _values(self, names: Iterable[str]) -> list[tuple[str, float | None]]:
        return [(name, self.metrics.get(name)) for name in names]

    def _shown(self, name: str) -> str:
        return f"{self.name}: {name} {self.metrics[name]:.3f}"

    def _absence(self, name: str) -> str:
        if name in self.not_numbers:
            return f"is not a number: {self.not_numbers[name]}"
        if name in self.metrics:
            return "is null in metrics.json: it was not computed"
        return f"is not in metrics.json{similar_name(name, self.metrics)}"


def metric_rows(report: dict[str, Any], metrics: Metrics, live: dict[str, Any]) -> tuple[MetricRow, ...]:
    """Return the rows of a split of metrics.json, in its order, with their limits and the live model's rows."""
    rows, live_rows = _rows(report, metrics.split), _rows(live, metrics.split)
    return tuple(
        MetricRow(
            name=name,
            metrics=row,
            minimum=metrics.minimum_of(name),
            live=live_rows.get(name, {}),
            maximum=metrics.maximum_of(name),
            not_numbers=_not_numbers(report["metrics"][metrics.split][name]),
        )
        for name, row in rows.items()
    )


def _rows(report: dict[str, Any], split: str) -> Rows:
    """Return the rows of a split with their numbers. A malformed row or value counts as missing."""
    splits = report.get("metrics")
    rows = splits.get(split) if isinstance(splits, dict) else None
    if not isinstance(rows, dict):
        return {}
    return {str(name): _numbers(row) for name, row in rows.items() if isinstance(row, dict)}


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value if is_number(value) else None for name, value in row.items()}


def _not_numbers(row: dict[str, Any]) -> dict[str, str]:
    return {
        name: json.dumps(value, allow_nan=True)[:LONGEST].strip('"')
        for name, value in row.items()
        if value is not None and not is_number(value)
    }


def similar_name(name: str, names: Iterable[str]) -> str:
    """Return a similar name as the end of a sentence; empty if there is none."""
    near = get_close_matches(name, [other for other in names if other != name], 1, NEAR)
    return f" (did you mean {near[0]}?)" if near else ""


def is_number(value: Any) -> bool:
    """True for a finite number: neither a bool, nor Infinity, NaN or 1e999."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
