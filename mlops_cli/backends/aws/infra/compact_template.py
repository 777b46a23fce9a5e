"""Shorten a template: CloudFormation limits a request's bytes, and a third of them are indentation."""

from __future__ import annotations

import re

BLOCK_SCALAR = re.compile(r"(^|: |- )(![\w:]* )?[|>][-+0-9]*$")  # also after a tag: !Sub |
LIST_ITEM = "- "


def compact(text: str) -> str:
    """Return the same YAML with one space for each level, without comments on lines of their own and empty lines."""
    lines: list[str] = []
    # The columns of the open levels, in the text and in the result. The next list item does not close its column.
    levels = [(0, 0)]
    scalar: tuple[int, int] | None = None
    parent = 0  # the column from which a text block is indented: that of its key or list item
    for line in text.splitlines():
        content = line.lstrip(" ")
        column = len(line) - len(content)
        if scalar and (not content or column > parent):
            scalar = scalar if scalar[0] else (column, levels[-1][1] + 1)
            lines.append(" " * (scalar[1] + column - scalar[0]) + content if content else "")
            continue
        scalar = None
        if not content or content.startswith("#"):
            continue
        while levels[-1][0] > column:
            levels.pop()
        if levels[-1][0] < column:
            # A list may start at the column of its key.
            levels.append((column, levels[-1][1] + (not content.startswith(LIST_ITEM))))
        lines.append(" " * levels[-1][1] + content)
        while content.startswith(LIST_ITEM):
            parent = levels[-1][0]
            content = content[len(LIST_ITEM) :]
            levels.append((levels[-1][0] + len(LIST_ITEM), levels[-1][1] + len(LIST_ITEM)))
        if BLOCK_SCALAR.search(content):
            scalar, parent = (0, 0), parent if content[0] in "|>!" else levels[-1][0]
    return "\n".join(lines) + "\n"
