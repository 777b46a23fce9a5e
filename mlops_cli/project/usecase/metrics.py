"""Read [metrics]: the split, the primary metric, and the metric limits."""

from __future__ import annotations

import sys
from typing import Any

from mlops_cli.core.models.metric_bounds import Bounds, Metrics
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.toml_values import flag, optional_text, required_text, table_at


def read_metrics(table: dict[str, Any], problems: Problems) -> Metrics:
    return Metrics(
        split=optional_text(table, "split", problems, "metrics.", "test"),
        primary=required_text(table, "primary", problems, "metrics."),
        minimum=_bounds(table, "minimum", problems),
        maximum=_bounds(table, "maximum", problems),
        direction=_direction(table, problems),
        must_beat_live=flag(table, "must_beat_live", problems, "metrics."),
    )


def _direction(metrics: dict[str, Any], problems: Problems) -> str:
    direction = metrics.get("direction", "")
    if direction not in ("", "higher", "lower"):
        problems.add("metrics.direction", f"is {direction!r}, expected higher or lower")
    return str(direction)


def _bounds(metrics: dict[str, Any], side: str, problems: Problems) -> dict[str, Bounds]:
    tables = table_at(metrics, side, problems, f"metrics.{side}")
    return {row: _numbers(tables, row, problems, f"metrics.{side}.{row}") for row in tables}


def _numbers(tables: dict[str, Any], row: str, problems: Problems, title: str) -> Bounds:
    table = table_at(tables, row, problems, title)
    for name, value in table.items():
        if not _is_finite(value):
            problems.add(f"{title}.{name}", "must be a number")
    return {name: float(value) for name, value in table.items() if _is_finite(value)}


def _is_finite(value: Any) -> bool:
    """True for a number that a float can hold. An integer in TOML may have any length."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max
