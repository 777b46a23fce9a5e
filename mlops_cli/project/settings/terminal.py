"""The environment variables about the terminal."""

from __future__ import annotations

import os

LEAST_COLUMNS = 20


def terminal_columns() -> int | None:
    """Return the width in COLUMNS; None if it is unusable."""
    columns = os.environ.get("COLUMNS", "")
    return (
        int(columns) if columns.isascii() and columns.isdecimal() and LEAST_COLUMNS <= int(columns) <= 10_000 else None
    )


def plain_terminal() -> bool:
    """True if plain output is requested: NO_COLOR, TERM=dumb or CI."""
    return bool(os.environ.get("NO_COLOR") or os.environ.get("CI")) or os.environ.get("TERM") == "dumb"
