"""The training curves: every series of numbers in metrics.json's ``history``, one plot for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import number, title
from mlops_cli.report.sections.distribution_shift import is_number
from mlops_cli.report.svg import Plot, tick, ticks

Series = dict[str, list[tuple[float, float]]]
CLOCK = ("epoch", "step")


def training_curves(context: ReportContext) -> str:
    curves = series(context.metrics)
    if not curves:
        return ""
    figures = "".join(_figure(kind, group) for kind, group in _grouped(curves).items())
    return f'<section id="training"><h2>Training</h2><div class="wide">{figures}</div></section>'


def series(metrics: Mapping[str, Any]) -> Series:
    """Return the history's numbers by name, each with its epoch (or its position in the list)."""
    history = metrics.get("history")
    rows = [row for row in history if isinstance(row, dict)] if isinstance(history, list) else []
    curves: Series = {}
    for index, row in enumerate(rows, 1):
        at = next((float(row[name]) for name in CLOCK if is_number(row.get(name))), float(index))
        for name, value in row.items():
            if name not in CLOCK and is_number(value):
                curves.setdefault(str(name), []).append((at, float(value)))
    return curves


def _grouped(curves: Series) -> dict[str, Series]:
    """Group ``loss`` with ``validation_loss``: a series joins the one with whose name its own name ends."""
    kinds = sorted(curves, key=len)
    groups: dict[str, Series] = {}
    for name in curves:
        kind = next((kind for kind in kinds if name == kind or name.endswith(f"_{kind}")), name)
        groups.setdefault(kind, {})[name] = curves[name]
    return groups


def _figure(kind: str, group: Series) -> str:
    points = [point for values in group.values() for point in values]
    (x_low, x_high), (y_low, y_high) = (_range([point[axis] for point in points]) for axis in (0, 1))
    plot = Plot((x_low, x_high), (y_low, y_high), f"{kind} over the epochs", 420, 230, left=52, right=110)
    plot.y_axis([(value, tick(value)) for value in ticks(y_low, y_high)])
    whole = [value for value in ticks(x_low, x_high) if value == int(value)] or [x_low]
    plot.x_axis([(value, tick(value)) for value in whole], "epoch")
    ends = _spread([(plot.at_y(values[-1][1]), name) for name, values in group.items()])
    for index, (name, values) in enumerate(group.items()):
        style = "new" if index == 0 else "second"
        plot.line(values, style)
        for x, y in values if len(values) <= 30 else values[-1:]:
            plot.dot(x, y, "point" if index == 0 else "rival", 3.5, f"{name} {number(y)} at {x:g}")
        plot.text(plot.width - plot.right + 8, ends[name] + 4, name.replace("validation_", "valid. "), "halo")
    names = ", ".join(map(title, group))
    last = ", ".join(number(values[-1][1]) for values in group.values())
    return f"<figure><figcaption>{names} <b>{last} in the end</b></figcaption>{plot}</figure>"


def _range(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return (low, high) if low == int(low) and high == int(high) and low < high else (low - margin, high + margin)


def _spread(ends: list[tuple[float, str]], apart: float = 14) -> dict[str, float]:
    """Return positions for the lines' names that do not overlap."""
    placed: dict[str, float] = {}
    lowest = float("-inf")
    for y, name in sorted(ends):
        lowest = max(y, lowest + apart)
        placed[name] = lowest
    return placed
