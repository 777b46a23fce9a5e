"""What usecase.toml says about a hyperparameter: the kind of its value, a minimum and a maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.project.problems import Problems

MINIMUM, MAXIMUM = "minimum", "maximum"
KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}


@dataclass(frozen=True)
class Declaration:
    """``kind`` is the type of the value in the file; a text may be anything."""

    kind: type
    minimum: float = -math.inf
    maximum: float = math.inf

    def problem(self, text: str) -> str:
        """Return what is wrong with a value, in words; empty if nothing is."""
        if self.kind is bool:
            return "" if text.lower() in ("true", "false") else f"expected {KINDS[bool]}"
        if self.kind not in KINDS:
            return ""
        try:
            number = self.kind(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            return f"expected {KINDS[self.kind]}"
        if number < self.minimum:
            return f"expected {self.minimum:g} or more"
        return f"expected {self.maximum:g} or less" if number > self.maximum else ""


def read_declarations(table: Mapping[str, Any], problems: Problems) -> dict[str, Declaration]:
    """Return the declarations by ``stage.name``; report bounds of nothing, and values outside of their bounds."""
    values = {
        f"{stage}.{name}": value
        for stage, part in table.items()
        if stage not in (MINIMUM, MAXIMUM) and isinstance(part, dict)
        for name, value in part.items()
    }
    sides = {side: _bounds(table.get(side, {}), side, values, problems) for side in (MINIMUM, MAXIMUM)}
    declared = {}
    for name, value in values.items():
        bounds = {side: bound[name] for side, bound in sides.items() if name in bound}
        declared[name] = Declaration(type(value), **bounds)
        if bounds and (problem := declared[name].problem(str(value))):
            problems.add(f"hyperparameters.{name}", f"is {value}, {problem}")
    return declared


def _bounds(table: Any, side: str, values: Mapping[str, Any], problems: Problems) -> dict[str, float]:
    """Return one side's bounds by ``stage.name``."""
    title = f"hyperparameters.{side}"
    if not isinstance(table, dict):
        problems.add(title, "must be a table", f"[{title}]")
        return {}
    bounds = {}
    for stage, part in table.items():
        if not isinstance(part, dict):
            problems.add(f"{title}.{stage}", f"must be a table, such as [{title}.train]", f"[{title}.{stage}]")
            continue
        for name, bound in part.items():
            full, key = f"{stage}.{name}", f"{title}.{stage}.{name}"
            if type(bound) not in (int, float) or not math.isfinite(bound):
                problems.add(key, "must be a number")
            elif full not in values:
                problems.add_unknown(key, full, list(values))
            elif type(values[full]) not in (int, float):
                problems.add(key, f"is a bound of {values[full]!r}, which is no number")
            else:
                bounds[full] = float(bound)
    return bounds
