"""Tables of plain text: no cell, header or title is markup, and none steers the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table
from rich.text import Text

from mlops_cli.plain_text import printable


class PlainTable(Table):
    """A table whose texts mean themselves. A style is given by ``styled``, never within a text."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(styled(cell) if isinstance(cell, str) else cell for cell in cells), **options)


def table(*headers: str, title: str = "") -> PlainTable:
    """Return a table in which only the last column wraps: a name or digest in two pieces is useless."""
    grid = PlainTable(
        box=None, pad_edge=False, title=styled(title) if title else None, title_justify="left", header_style="bold"
    )
    for header in headers:
        grid.add_column(styled(header), no_wrap=True)
    grid.columns[-1].no_wrap = False
    return grid


def styled(text: str, style: str = "") -> Text:
    """Return any text as itself, in a style of ours."""
    return Text(printable(text), style=style)


def joined(*texts: Text | str) -> Text:
    """Return texts with their own styles as one, with a space between those that are not empty."""
    return Text(" ").join(text if isinstance(text, Text) else styled(text) for text in texts if text)
