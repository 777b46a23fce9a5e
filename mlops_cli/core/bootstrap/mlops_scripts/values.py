"""Check the values that a script passes: one number for each row, or an error that shows the value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

LONGEST = 80


def numbers_of(call: str, name: str, values: Iterable[Any]) -> list[float]:
    """Return one float for each row. Raise ValueError, with the row, for anything else."""
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) == 2 and shape[1] == 1 and hasattr(values, "reshape"):
        values = values.reshape(-1)
    elif shape is not None and len(shape) != 1:
        raise ValueError(f"{call}: {name} has the shape {tuple(shape)}, expected one number for each row: (rows,)")
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise ValueError(f"{call}: {name} is {shown(values)}, expected one number for each row")
    return [_number(call, name, value, row) for row, value in enumerate(values)]


def labels_of(call: str, name: str, values: Iterable[Any]) -> list[int]:
    """Return 0 or 1 for each row. Raise ValueError, with the row, for anything else."""
    numbers = numbers_of(call, name, values)
    for row, number in enumerate(numbers):
        if number not in (0, 1):
            raise ValueError(f"{call}: {name} is {number:g} in row {row}, expected 0 or 1")
    return [int(number) for number in numbers]


def check_lengths(call: str, **lists: Sequence[Any]) -> None:
    """Raise ValueError if the lists, by name, have different numbers of rows."""
    lengths = {name.replace("_", " "): len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1:
        parts = " and ".join(f"{name} has {length} rows" for name, length in lengths.items())
        raise ValueError(f"{call}: {parts}, expected the same rows")


def shown(value: Any) -> str:
    """Return a value and its type, shortened."""
    try:
        text = repr(value).replace("\n", " ")
    except ValueError:  # a whole number with thousands of digits
        text = "a value that cannot be shown"
    return f"{text if len(text) <= LONGEST else text[:LONGEST] + '…'} ({type(value).__name__})"


def _number(call: str, name: str, value: Any, row: int) -> float:
    shape = getattr(value, "shape", ())
    try:
        number = math.nan if shape else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{call}: {name} is {shown(value)} in row {row}, expected a finite number")
    return number
