"""The worst mistakes, with their input, behind a click: what people wrote may be offensive."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from mlops_cli.measures.curves import furthest, worst
from mlops_cli.measures.predictions import LABEL, Column
from mlops_cli.report.material import Material
from mlops_cli.report.wording import count, escape, number, shortened, title

MOST = 5
MOST_COLUMNS = 24
LONGEST = 500


def mistakes(material: Material) -> str:
    found = material.predictions
    if found is None or not material.instances:
        return ""
    parts = "".join(_of_column(column, material) for column in found.columns[:MOST_COLUMNS])
    return f"""<section id="mistakes"><h2>The worst mistakes</h2>
<p>What the model is most wrong about often shows a label that is wrong, or a weakness worth knowing.</p>
<details><summary>Show them: they quote the data, which may be offensive</summary>{parts}</details></section>"""


def _of_column(column: Column, material: Material) -> str:
    if column.kind != LABEL:
        rows = furthest(column, MOST).tolist()
        return _details(column.name, f"the {len(rows)} furthest off", _texts(rows, column, material))
    alarms, misses = (places.tolist() for places in worst(column, MOST))
    body = _list("Said yes, but is not", alarms, column, material) + _list("Is, but said no", misses, column, material)
    return _details(column.name, count(len(alarms) + len(misses), "mistake"), body) if body else ""


def _details(name: str, amount: str, body: str) -> str:
    return f"<details><summary>{title(name)}: {amount}</summary>{body}</details>"


def _list(heading: str, places: list[int], column: Column, material: Material) -> str:
    return f"<h3>{heading}</h3>{_texts(places, column, material)}" if places else ""


def _texts(places: Iterable[int], column: Column, material: Material) -> str:
    return f'<ul class="texts">{"".join(_text(place, column, material) for place in places)}</ul>'


def _text(place: int, column: Column, material: Material) -> str:
    assert material.predictions is not None
    row, instance = material.predictions.rows[place], material.instances[place]
    scored = f"predicted {number(float(column.predicted[place]))}"
    return (
        f'<li><span class="soft">{scored}, is {_truth(place, column, material)} · row {escape(row)}</span>'
        f"<q>{escape(shortened(_as_text(instance), LONGEST))}</q></li>"
    )


def _truth(place: int, column: Column, material: Material) -> str:
    """What is true of the row: the labels that it has, or the number."""
    assert material.predictions is not None
    if column.kind != LABEL:
        return number(float(column.truth[place]))
    columns = material.predictions.columns
    given = [title(one.name) for one in columns if one.kind == LABEL and one.truth[place]]
    return ", ".join(given) or "none of the labels"


def _as_text(instance: Any) -> str:
    return instance if isinstance(instance, str) else json.dumps(instance, ensure_ascii=False)
