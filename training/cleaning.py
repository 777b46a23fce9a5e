"""How a comment is cleaned: rules that preprocess.py and the model's own graph both apply.

The model takes raw text and cleans it itself. That preprocess.py has cleaned the training data before (so
that duplicates are seen as such and no address of a person is kept) changes nothing for the model, because
cleaning twice is cleaning once. Two engines run these patterns (Rust's `regex` in polars, RE2 in TensorFlow):
they are written without what the two understand differently, which is \\s, \\w, \\b and (?i).
"""

from __future__ import annotations

# White space and control characters, except the plain blank: one that stands alone may stay (that is fast).
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
