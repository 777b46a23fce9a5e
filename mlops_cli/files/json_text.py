"""Parse JSON from outside: files in .mlops/ and in buckets, outputs of scripts, responses of endpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

TOO_DEEP = "it nests too deeply"


def parse_json(
    text: str | bytes,
    parse_constant: Callable[[str], Any] | None = None,
    parse_float: Callable[[str], Any] | None = None,
) -> Any:
    """Return the content. Raise ValueError for anything else, also for endlessly nested lists."""
    try:
        return json.loads(text, parse_constant=parse_constant, parse_float=parse_float)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def json_text(value: Any) -> str:
    """Return the value as JSON; values that JSON has not become texts. Raise ValueError for endlessly nested lists."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
