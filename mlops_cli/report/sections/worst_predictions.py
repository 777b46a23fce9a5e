"""The worst predictions with their inputs. A click shows them, because users' texts may be offensive."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from mlops_cli.evaluation.curves import largest_errors, worst
from mlops_cli.evaluation.predictions import LABEL, Column
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape, number, shorten, title

MOST = 5
MOST_COLUMNS = 24
LONGEST = 500


def worst_predictions(context: ReportContext) -> str:
    predictions = context.predictions
    if predictions is None or not context.instances:
        return ""
    parts = "".join(_of_column(column, context) for column in predictions.columns[:MOST_COLUMNS])
    return f"""<section id="mistakes"><h2>The worst predictions</h2>
<p>Large errors often show a wrong label or a weakness of the model.</p>
<details><summary>{_summary(context.instances)}</summary>{parts}</details></section>"""


def _summary(instances: Sequence[Any]) -> str:
    """Return the line above the quotes. Only texts by people can offend."""
    warning = ", which may be offensive" if any(isinstance(instance, str) for instance in instances) else ""
    return f"Show them: they quote the data{warning}"


def _of_column(column: Column, context: ReportContext) -> str:
    if column.kind != LABEL:
        rows = largest_errors(column, MOST).tolist()
        return _details(column.name, f"the {len(rows)} largest errors", _texts(rows, column, context))
    alarms, misses = (positions.tolist() for positions in worst(column, MOST))
    body = _list("False positives", alarms, column, context) + _list("False negatives", misses, column, context)
    return _details(column.name, count(len(alarms) + len(misses), "mistake"), body) if body else ""


def _details(name: str, amount: str, body: str) -> str:
    return f"<details><summary>{title(name)}: {amount}</summary>{body}</details>"


def _list(heading: str, positions: list[int], column: Column, context: ReportContext) -> str:
    return f"<h3>{heading}</h3>{_texts(positions, column, context)}" if positions else ""


def _texts(positions: Iterable[int], column: Column, context: ReportContext) -> str:
    return f'<ul class="texts">{"".join(_text(position, column, context) for position in positions)}</ul>'


def _text(position: int, column: Column, context: ReportContext) -> str:
    assert context.predictions is not None
    row, instance = context.predictions.rows[position], context.instances[position]
    scored = f"predicted {number(float(column.predicted[position]))}"
    return (
        f'<li><span class="soft">{scored}, is {_truth(position, column, context)} · row {escape(row)}</span>'
        f"<q>{escape(shorten(_as_text(instance), LONGEST))}</q></li>"
    )


def _truth(position: int, column: Column, context: ReportContext) -> str:
    """Return the row's true value: its labels or its number."""
    assert context.predictions is not None
    if column.kind != LABEL:
        return number(float(column.truth[position]))
    columns = context.predictions.columns
    labels = [title(candidate.name) for candidate in columns if candidate.kind == LABEL and candidate.truth[position]]
    return ", ".join(labels) or "none of the labels"


def _as_text(instance: Any) -> str:
    return instance if isinstance(instance, str) else json.dumps(instance, ensure_ascii=False)
