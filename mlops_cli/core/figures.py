"""Numbers and durations as text, the same on the terminal, in the report and in messages."""

from __future__ import annotations


def number(value: float) -> str:
    """Return three decimals for shares of one, fewer for large numbers, and the first digits of tiny ones."""
    size = abs(value)
    if size >= 100:
        return f"{value:,.1f}" if size < 10_000 else f"{value:,.0f}"
    return f"{value:.3f}" if size >= 0.0005 or not size else f"{value:.2e}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(int(seconds), 60)
    return f"{minutes:,} min {remainder:02d} s"


def byte_size(number: float) -> str:
    """Return a number of bytes in powers of 1,000."""
    for prefix in ("", "k", "M"):
        if number < 1000:
            return f"{number:,.1f} {prefix}B" if prefix else f"{number:,.0f} B"
        number /= 1000
    return f"{number:,.1f} GB"
