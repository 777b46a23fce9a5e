"""The confusion matrix of a model that chooses one of several classes, and its most frequent errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape, share, title

# A larger matrix is unreadable; the list of the most frequent errors is not.
MOST_CLASSES = 20
MOST_ERRORS = 8


@dataclass(frozen=True)
class ConfusionMatrix:
    """``counts`` [true class][predicted class]: rows of the split."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def errors(self) -> list[tuple[int, str, str]]:
        """Return the pairs of a true and a wrongly predicted class with their rows, the most frequent first."""
        pairs = [
            (self.counts[row][column], true, predicted)
            for row, true in enumerate(self.classes)
            for column, predicted in enumerate(self.classes)
            if row != column and self.counts[row][column]
        ]
        return sorted(pairs, key=lambda pair: -pair[0])


def confusion(context: ReportContext) -> str:
    matrix = _matrix(context)
    if matrix is None:
        return ""
    errors = matrix.errors()
    total = sum(map(sum, matrix.counts))
    wrong = sum(rows for rows, _, _ in errors)
    shown = _table(matrix) if len(matrix.classes) <= MOST_CLASSES else ""
    return f"""<section id="confusion"><h2>Which classes are confused</h2>
<p>{count(wrong, "row")} of {total:,} ({share(wrong / total if total else None)}) are predicted as another class.</p>
{shown}{_list(errors, matrix)}</section>"""


def _matrix(context: ReportContext) -> ConfusionMatrix | None:
    """Return the matrix in metrics.json, which has all rows, or else the matrix of the predictions."""
    recorded = _recorded(context.metrics.get("confusion"))
    if recorded is not None:
        return recorded
    predictions = context.predictions
    if predictions is None or not predictions.one_of:
        return None
    names = tuple(column.name for column in predictions.columns)
    return ConfusionMatrix(names, tuple(tuple(row) for row in predictions.confusion()))


def _recorded(document: object) -> ConfusionMatrix | None:
    """Return the matrix that a script wrote; None for another form."""
    classes, counts = (document.get(key) if isinstance(document, dict) else None for key in ("classes", "counts"))
    if not isinstance(classes, list) or not isinstance(counts, list) or len(counts) != len(classes):
        return None
    if not all(isinstance(row, list) and len(row) == len(classes) and all(map(_is_count, row)) for row in counts):
        return None
    return ConfusionMatrix(tuple(map(str, classes)), tuple(tuple(row) for row in counts)) if classes else None


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _table(matrix: ConfusionMatrix) -> str:
    heads = "".join(f"<th>{title(name)}</th>" for name in matrix.classes)
    rows = "".join(
        f'<tr><th scope="row">{title(true)}</th>{_cells(matrix.counts[position], position)}</tr>'
        for position, true in enumerate(matrix.classes)
    )
    corner = "<th>true ↓ &nbsp; predicted →</th>"
    return (
        f'<div class="scroll"><table class="confusion"><thead><tr>{corner}{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cells(counts: Sequence[int], right: int) -> str:
    total = sum(counts)
    kinds = [' class="right"' if position == right else "" for position in range(len(counts))]
    shares = [share(rows / total if total else None) for rows in counts]
    return "".join(
        f"<td{kind}>{rows:,}<small>{part}</small></td>" for kind, rows, part in zip(kinds, counts, shares, strict=True)
    )


def _list(errors: Sequence[tuple[int, str, str]], matrix: ConfusionMatrix) -> str:
    """Return the most frequent errors in words, if the matrix is too large to see them at once."""
    if len(matrix.classes) < 4 or not errors:
        return ""
    items = "".join(
        f"<li>{count(rows, 'row')} of {escape(true)} as {escape(predicted)}</li>"
        for rows, true, predicted in errors[:MOST_ERRORS]
    )
    return f"<ul>{items}</ul>"
