"""Parse JSON from outside: files in .mlops/ and in buckets, outputs of scripts, responses of endpoints."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Return the content. Raise ValueError for anything else, also for endlessly nested lists."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None
