"""The cleaning of a comment: rules for preprocess.py and for the model's own graph.

The model takes raw text and cleans it itself. preprocess.py cleans the training data, too, to recognize duplicates and
to remove personal addresses. This changes nothing for the model, because the rules are idempotent. Both sides run the
rules with RE2: preprocess.py with pyarrow's, the graph with TensorFlow's (model/text.py).
"""

from __future__ import annotations

import polars as pl

# White space and control characters, except a single blank, which stays (for speed).
_BLANKS = r"\x00-\x1f\x7f\x{80}-\x{a0}\x{1680}\x{2000}-\x{200b}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}"
_URL = r"(?:[hH][tT][tT][pP][sS]?://|[fF][tT][pP]://|[wW][wW][wW]\.)[^ ]*"  # (?i) would fold ſ to s, too
_IP = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}"

# (pattern, replacement), in this order: the later ones expect single blanks as the only white space.
RULES: tuple[tuple[str, str], ...] = (
    (f"[ {_BLANKS}]{{2,}}|[{_BLANKS}]", " "),
    (_URL, "url"),
    (_IP, "ipaddr"),
    (r"^ | $", ""),
)


def clean(texts: pl.Series) -> pl.Series:
    """Return the cleaned texts."""
    import pyarrow.compute as pc  # imported here, because a training cleans in its graph

    cleaned = texts.to_arrow()
    for pattern, replacement in RULES:
        cleaned = pc.replace_substring_regex(cleaned, pattern, replacement)
    return pl.Series(texts.name, cleaned)


def rough_word_count(text: str) -> pl.Expr:
    """Return the number of pieces between blanks in each cleaned text, as a measure of its size.

    Only the model's graph defines a word (model/text.py).
    """
    return pl.col(text).str.count_matches(" ", literal=True) + 1
