"""The place of a bad row in a CSV file. polars reads fast, but does not say where a bad row is."""

from __future__ import annotations

import csv
import sys
from pathlib import Path


def describe_bad_row(source: Path, identifier: str, labels: list[str]) -> str | None:
    """Return line, column and value of the first bad row; None if every row is good. Read the file row by row.

    A row is bad if it is not UTF-8, has more values than the header, or has a label that is not 0 or 1.
    """
    csv.field_size_limit(sys.maxsize)
    with source.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        line = rows.line_num + 1  # of the row's beginning: a text may have line breaks
        for values in rows:
            if len(values) > len(header):
                return f"line {line} has {len(values)} values, the header {len(header)}"
            row = dict(zip(header, values, strict=False))
            for column, value in row.items():
                if not _is_utf8(value):
                    return f"line {line}, column {column}: invalid UTF-8"
            for label in labels:
                if (value := row.get(label, "").strip()) not in ("0", "1"):
                    name = row.get(identifier, "")
                    return f"line {line}: row {name!r} has {label} = {value!r}, expected 0 or 1"
            line = rows.line_num + 1
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
