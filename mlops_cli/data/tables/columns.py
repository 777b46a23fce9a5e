"""The permitted content of a column: its type, a list of values, and whether a cell may be empty."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

KINDS = ("id", "text", "label", "number", "category", "date", "any")
_TIME = re.compile(r"[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?(Z|[+-]([01]\d|2[0-3]):?[0-5]\d)?")
_MOST_SHOWN = 5
NO_LABEL = "is not 0 or 1"


@dataclass(frozen=True)
class Column:
    kind: str
    values: frozenset[str] = frozenset()  # the values of a category; empty: every text is allowed
    may_be_empty: bool = False

    def allows(self, cells: Sequence[str]) -> bool:
        """Return True if every cell is valid."""
        if self.may_be_empty:
            cells = [cell for cell in cells if cell and not cell.isspace()]
        if self.values:
            return self.values.issuperset(cells)
        return _CHECKS[self.kind](cells)

    def problem(self, cell: str, shown: str) -> str:
        """Return why the cell, ``shown`` in a message, is invalid; "" if it is valid."""
        if self.allows([cell]):
            return ""
        if self.values:
            names = [json.dumps(value, ensure_ascii=False) for value in sorted(self.values)]
            more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
            return f"{shown} is not one of {', '.join(names[:_MOST_SHOWN])}{more}"
        return _REASONS[self.kind].format(shown) if cell.strip() or self.kind in ("label", "number") else "is empty"


def column_text(spec: Any) -> str:
    """Return a column of usecase.toml as one text: a type, a type that may be empty, or a list of values.

    Raise ValueError if it is none of these.
    """
    if isinstance(spec, list) and spec and all(isinstance(value, str) for value in spec):
        return json.dumps(spec, ensure_ascii=False)
    if isinstance(spec, str) and spec.removesuffix("?") in KINDS:
        return spec
    raise ValueError(
        f"{spec!r}, expected one of {', '.join(KINDS)}, such a word with ? (may be empty), or a list of texts"
    )


def column(text: str) -> Column:
    """Return the column from the text in ``written``."""
    if text.startswith("["):
        values = frozenset(json.loads(text))
        return Column("category", values - {""}, "" in values)
    return Column(text.removesuffix("?"), may_be_empty=text.endswith("?"))


def is_number(cell: str) -> bool:
    """True for a number in any program. Python alone also accepts 1_000 and the digits of other alphabets."""
    try:
        return math.isfinite(float(cell)) and cell.isascii() and "_" not in cell
    except ValueError:
        return False


def _is_date(cell: str) -> bool:
    """True for a date in ISO 8601, such as 2026-11-29, with or without a time."""
    text = cell.strip()
    try:
        date.fromisoformat(text[:10])
    except ValueError:
        return False
    return text.isascii() and text[4:5] == "-" and (len(text) == 10 or bool(_TIME.fullmatch(text[10:])))


def _filled(cells: Sequence[str]) -> bool:
    # isspace is true only for a cell that contains only blanks.
    return "" not in cells and not any(map(str.isspace, cells))


_CHECKS: dict[str, Callable[[Sequence[str]], bool]] = {
    "id": _filled,
    "text": _filled,
    "category": _filled,
    "label": lambda cells: set(cells) <= {"0", "1"},
    "number": lambda cells: all(map(is_number, cells)),
    "date": lambda cells: all(map(_is_date, set(cells))),
    "any": lambda _: True,
}
_REASONS = {
    "id": "is empty",
    "text": "is empty",
    "category": "is empty",
    "label": f"{{}} {NO_LABEL}",
    "number": "{} is not a number",
    "date": "{} is not a date such as 2026-11-29",
}
