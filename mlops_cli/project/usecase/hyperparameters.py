"""Read [hyperparameters]: the values, and the type, minimum and maximum of each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlops_cli.project.usecase.declaration import Declaration
from mlops_cli.project.usecase.keys import MAXIMUM, MINIMUM
from mlops_cli.project.usecase.problems import Problems
from mlops_cli.project.usecase.toml_values import check_values, table_at


def read_declarations(table: Mapping[str, Any], problems: Problems) -> dict[str, Declaration]:
    """Return the declarations by ``stage.name``. Report bounds without a value, and values outside of their bounds."""
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
    """Return the minimum or the maximum values by ``stage.name``."""
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


def read_hyperparameters(table: dict[str, Any], problems: Problems) -> dict[str, dict[str, str]]:
    table = {stage: values for stage, values in table.items() if stage not in (MINIMUM, MAXIMUM)}
    for stage in table:
        title = f"hyperparameters.{stage}"
        check_values(table_at(table, stage, problems, title), title, problems)
    return {
        stage: {name: str(value) for name, value in values.items()}
        for stage, values in table.items()
        if isinstance(values, dict)
    }


def read_texts(table: Any) -> frozenset[str]:
    """Return the names of the hyperparameters that are texts, numbers in quotes included."""
    stages = table if isinstance(table, dict) else {}
    tables = {stage: values for stage, values in stages.items() if isinstance(values, dict)}
    return frozenset(
        f"{stage}.{name}"
        for stage, values in tables.items()
        for name, value in values.items()
        if isinstance(value, str)
    )
