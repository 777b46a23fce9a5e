"""The environment variables that say how the terminal is used."""

from __future__ import annotations

import os

LEAST_COLUMNS = 20


def terminal_columns() -> int | None:
    """Return the width that COLUMNS demands; None without a usable one."""
    columns = os.environ.get("COLUMNS", "")
    return (
        int(columns) if columns.isascii() and columns.isdecimal() and LEAST_COLUMNS <= int(columns) <= 10_000 else None
    )


def plain_terminal() -> bool:
    """True for a request for plain output: NO_COLOR, TERM=dumb or CI."""
    return bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) or os.environ.get("TERM") == "dumb"
