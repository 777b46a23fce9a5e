"""The cleaning of a comment: rules for preprocess.py and for the model's own graph.

The model takes raw text and cleans it itself. preprocess.py has cleaned the training data before (to recognize
duplicates and to remove personal addresses); this changes nothing for the model, because the rules are idempotent. Two
engines run these patterns (Rust's `regex` in polars, RE2 in TensorFlow), so they avoid the constructs with different
meanings: \\s, \\w, \\b and (?i).
"""

from __future__ import annotations

# White space and control characters, except a single plain blank, which stays (for speed).
_BLANKS = r"\x00-\x1f\x7f\x{80}-\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_URL = r"(?:[hH][tT][tT][pP][sS]?://|[fF][tT][pP]://|[wW][wW][wW]\.)[^ ]*"
_IP = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"

# (pattern, replacement), in this order: the later ones rely on single blanks as the only white space.
RULES: tuple[tuple[str, str], ...] = (
    (f"[ {_BLANKS}]{{2,}}|[{_BLANKS}]", " "),
    (_URL, "url"),
    (_IP, "ipaddr"),
    (r"^ | $", ""),
)
