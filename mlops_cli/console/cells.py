"""Tables of plain text: no cell, header or title is interpreted as markup or as a terminal sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from mlops_cli.core.secrets import without_secrets
from mlops_cli.plain_text import one_line, printable

# The lowest width of the last column, whose text wraps; and of the last column of a table without headers.
LEAST_LAST, LEAST_WITHOUT_HEADERS = 24, 12


class PlainTable(Table):
    """A table of literal texts. ``styled`` gives a style; the text itself never does."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        """Add a row. Only its last cell may have several lines: what follows a line break could pose as a row."""
        *first, last = (styled(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*(_on_one_line(cell) if isinstance(cell, Text) else cell for cell in first), last, **options)

    def fitted(self, width: int) -> list[PlainTable]:
        """Return the table. If cells would be cut, return a table for each row, with a line for each cell.

        Without headers, the last cell of each row has a line of its own.
        """
        least_last = LEAST_LAST if self.show_header else LEAST_WITHOUT_HEADERS
        if len(self.columns) < 3 - self.show_header or self._least_width(least_last) <= width:
            return [self]
        headers = [column.header for column in self.columns]
        rows = zip(*(column.cells for column in self.columns), strict=True)
        if not self.show_header:
            return [_indented(row) for row in rows]
        stacked = [_stacked(*_without_marks(headers, row)) for row in rows]
        for first in stacked[:1]:
            first.title, first.title_justify = self.title, self.title_justify
        return stacked

    def _least_width(self, least_last: int) -> int:
        """Return the width that all columns except the last need, plus a usable width for the last."""
        widths = [max(cell_len(str(cell)) for cell in (column.header, *column.cells)) for column in self.columns]
        return sum(widths[:-1]) + min(widths[-1], least_last) + 2 * (len(widths) - 1)


def table(*headers: str, title: str = "") -> PlainTable:
    """Return a table in which only the last column is wrapped: a name or digest in two pieces is useless."""
    grid = PlainTable(
        box=None, pad_edge=False, title=styled(title) if title else None, title_justify="left", header_style="bold"
    )
    for header in headers:
        grid.add_column(_on_one_line(styled(header)), no_wrap=True)
    grid.columns[-1].no_wrap = False
    grid.columns[-1].overflow = "fold"
    return grid


def _without_marks(headers: Sequence[Any], row: Sequence[Any]) -> tuple[Sequence[Any], Sequence[Any]]:
    """Return a row in which the mark in the first cell, a column without a header, stands before the second text."""
    if str(headers[0]) or len(row) < 2:
        return headers, row
    return headers[1:], [joined(row[0], row[1]), *row[2:]]


def _stacked(headers: Sequence[Any], row: Sequence[Any]) -> PlainTable:
    grid = table("", "")
    grid.show_header = False
    for header, cell in zip(headers, row, strict=True):
        if str(cell):
            grid.add_row(Text(str(header), style="bold"), cell)
    grid.add_row("", "")
    return grid


def _indented(row: Sequence[Any]) -> PlainTable:
    """Return all cells but the last in one line, and the last one indented below them."""
    first = [cell for cell in row[:-1] if str(cell)]
    grid = table("")
    grid.show_header = False
    if first:
        grid.add_row(Text("  ").join(cell if isinstance(cell, Text) else styled(cell) for cell in first))
    if str(row[-1]):
        last = table("", "")
        last.show_header = False
        last.add_row("", row[-1])
        grid.add_row(last)
    return grid


def _on_one_line(text: Text) -> Text:
    return text if text.plain.isprintable() else styled(one_line(text.plain), str(text.style))


def styled(text: str, style: str = "") -> Text:
    """Return any text unchanged, in a style of ours."""
    return Text(printable(without_secrets(text)), style=style)


def joined(*texts: Text | str) -> Text:
    """Return texts with their styles as one text, with a space between those that are not empty."""
    return Text(" ").join(text if isinstance(text, Text) else styled(text) for text in texts if text)
