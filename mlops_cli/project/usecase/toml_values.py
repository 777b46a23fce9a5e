"""Read one value or table of usecase.toml. Report a wrong or unknown one."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from mlops_cli.project.usecase.keys import KEYS, TABLES
from mlops_cli.project.usecase.problems import Problems

Scalar = (str, int, float, bool)
MOST_BITS = 63  # and a sign


def table_at(parent: dict[str, Any], key: str, problems: Problems, name: str = "") -> dict[str, Any]:
    value = parent.get(key, {})
    if isinstance(value, dict):
        return value
    problems.add(name or key, "must be a table", f"[{name or key}]")
    return {}


def known_table(parent: dict[str, Any], key: str, problems: Problems) -> dict[str, Any]:
    """Return one of KEYS' tables. Report unknown keys, which are mostly misspelled."""
    return with_known_names(table_at(parent, key, problems), key, KEYS[key], problems)


def with_known_names(table: dict[str, Any], title: str, known: Sequence[str], problems: Problems) -> dict[str, Any]:
    """Return the table with each misspelled name corrected, so that the correct name is not reported as missing."""
    read = {name: value for name, value in table.items() if name in known}
    for name in table.keys() - read.keys():
        key = f"{title}.{name}" if title else name
        homes = [home for home, names in KEYS.items() if name in names]
        elsewhere = f"it belongs in [{homes[0]}]" if homes else ""
        if title and name in TABLES:
            elsewhere = "it belongs before the first [table] of the file"
        problems.add_unknown(key, name, known, key if title else f"[{name}]", elsewhere)
        for meant in get_close_matches(name, known, 1):
            read.setdefault(meant, table[name])
    return read


def required_text(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> str:
    value = table.get(key)
    if isinstance(value, str) and value.strip():
        return value
    problems.add(f"{prefix}{key}", "must be a text" if key in table else "is missing; it must be a text")
    return ""


def flag(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> bool:
    value = table.get(key, False)
    if not isinstance(value, bool):
        problems.add(f"{prefix}{key}", "must be true or false")
    return value is True


def optional_text(table: dict[str, Any], key: str, problems: Problems, prefix: str = "", default: str = "") -> str:
    value = table.get(key, default)
    if not isinstance(value, str):
        problems.add(f"{prefix}{key}", "must be a text")
        return default
    return value


def fraction(table: dict[str, Any], key: str, problems: Problems, prefix: str = "") -> float:
    value = table.get(key, 0.0)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        problems.add(f"{prefix}{key}", "must be a number from 0 (none) to 1 (all)")
        return 0.0
    return float(f"{value:g}")  # the form in an environment variable


def check_values(values: dict[str, Any], title: str, problems: Problems) -> None:
    """Report values that cannot be options of a script."""
    for name, value in values.items():
        key = f"{title}.{name}"
        if not re.fullmatch(r"[A-Za-z_][\w-]*", name):
            problems.add(
                key, f"has {name!r}, expected a name of letters, digits, _ and - that begins with a letter", title
            )
        if isinstance(value, list):
            text = json.dumps(value, default=str)
            problems.add(key, f"is a list: a script gets texts, so write {name} = {text!r} and parse it")
        elif not isinstance(value, Scalar):
            problems.add(key, "must be a text, a number or true/false")
        elif "\0" in str(value):
            problems.add(key, "contains a NUL character, which no program can be given")
        elif isinstance(value, float) and not math.isfinite(value):
            problems.add(key, f"is {value}, expected a finite number")


def check_whole_numbers(value: Any, key: str, problems: Problems) -> None:
    """Report every whole number that is too large for TOML."""
    if isinstance(value, dict):
        for name, part in value.items():
            check_whole_numbers(part, f"{key}.{name}" if key else name, problems)
    elif isinstance(value, list):
        for part in value:
            check_whole_numbers(part, key, problems)
    elif isinstance(value, int) and value.bit_length() > MOST_BITS:
        problems.add(key, "is a whole number that does not fit into 64 bits")
