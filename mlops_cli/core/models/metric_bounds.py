"""The metrics of a use case: the split, the primary metric, the minimum and maximum values by row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


Bounds = dict[str, float]


MACRO, LABEL = "macro", "label"


ERRORS = ("log_loss", "brier", "mae", "rmse", "mape")


@dataclass(frozen=True)
class Metrics:
    """The split and the primary metric, with the minimum and maximum values of its rows by metric.

    ``minimum`` and ``maximum`` are by row: "macro" for the mean, "label" for every row without its own. ``direction``:
    the better values of the primary metric, "higher" or "lower"; "" for the default (see below). With
    ``must_beat_live``, a model that is not better than the live one beyond noise needs a reason, too.
    """

    split: str
    primary: str
    minimum: dict[str, Bounds] = field(default_factory=dict)
    maximum: dict[str, Bounds] = field(default_factory=dict)
    direction: str = ""
    must_beat_live: bool = False

    def minimum_of(self, row: str) -> Bounds:
        return bounds_for(self.minimum, row)

    def maximum_of(self, row: str) -> Bounds:
        return bounds_for(self.maximum, row)

    @property
    def rows(self) -> list[str]:
        """The rows with limits of their own. metrics.json must have them."""
        return [row for row in dict.fromkeys([*self.minimum, *self.maximum]) if row != LABEL]

    @property
    def lower_is_better(self) -> bool:
        """True if a lower primary metric is better.

        Without ``direction``, this is true for common error metrics and for a metric that has only a maximum.
        """
        if self.direction:
            return self.direction == "lower"
        has_maximum, has_minimum = (
            any(self.primary in table for table in side.values()) for side in (self.maximum, self.minimum)
        )
        return self.primary in ERRORS or (has_maximum and not has_minimum)

    def named(self) -> dict[str, str]:
        """Return the limits and demands that the evidence depends on, by name."""
        sides = (("minimum", self.minimum), ("maximum", self.maximum))
        named = {
            f"{side} of {row} {name}": repr(value).removesuffix(".0")
            for side, tables in sides
            for row, table in tables.items()
            for name, value in table.items()
        }
        direction = {"metrics.direction": self.direction} if self.direction else {}
        demand = {"metrics.must_beat_live": "true"} if self.must_beat_live else {}
        return {"metrics.split": self.split, "metrics.primary": self.primary, **direction, **named, **demand}


def bounds_for(tables: dict[str, Bounds], row: str) -> Bounds:
    """Return the limits of a row, or else those of every label. The mean is not a label."""
    return tables.get(row, tables.get(LABEL, {}) if row != MACRO else {})
