"""Values in the report. Text from data or from a person passes through ``escape``."""

from __future__ import annotations

import html
import math
import re
import time
from typing import Any

from mlops_cli.core import figures
from mlops_cli.core.secrets import without_secrets

# Control characters that would reverse, hide or break the text around them. Their codes are shown instead.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
# A letter with many combining marks would cover the lines above it.
_MARKS = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{3})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_HALVES = re.compile("[\ud800-\udfff]")


def escape(value: Any) -> str:
    """Return text that is safe in HTML, also inside a quoted attribute, and cannot affect the text around it."""
    text = _HALVES.sub("\ufffd", without_secrets(str(value)))
    text = _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return html.escape(_MARKS.sub(r"\1", text), quote=True)


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]} … ({len(text) - most:,} more characters)"


def number(value: Any) -> str:
    """Return a metric with three decimals, or with more digits if it is large or small."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return "–" if value is None else escape(value)
    if not math.isfinite(value):
        return "not a number"
    return f"{value:,}" if isinstance(value, int) else figures.number(value)


def signed(value: float | None) -> str:
    """Return a difference with a real minus sign; zero has no sign."""
    if value is None:
        return "–"
    text = number(abs(value))
    return f"±{text}" if not float(text.replace(",", "") or 0) else ("+" if value > 0 else "−") + text


def share(value: float | None) -> str:
    """Return a share of rows with enough digits to distinguish it from similar shares."""
    if value is None:
        return "–"
    return f"{value:.0%}" if value in (0, 1) else f"{value:.2%}" if value < 0.1 else f"{value:.1%}"


def count(amount: int, noun: str, plural: str = "s") -> str:
    return f"{amount:,} {noun}" + ("" if amount == 1 else plural)


def short(digest: str) -> str:
    return escape(digest[:12]) or "–"


def when(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def duration(seconds: float | None) -> str:
    return "–" if seconds is None else figures.duration(seconds)


def title(name: str) -> str:
    """Return a name from the data in which lines may break."""
    return escape(name).replace("_", "_<wbr>")
