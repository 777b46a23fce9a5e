"""A new model against the live one on the same rows: which rows are fair, and what the difference is, beyond noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mlops_cli.comparison import Comparison, Difference
from mlops_cli.errors import MlopsError
from mlops_cli.measures.bootstrap import RESAMPLES, bounds, enough, metric_for, resampled
from mlops_cli.measures.predictions import Column, Predictions
from mlops_cli.usecase import MACRO


def unknown_rows(new: Predictions, live: Predictions | None) -> np.ndarray:
    """Places of the rows of ``new`` that nothing is known of: the live model neither learnt nor predicted them."""
    if live is None:
        return np.arange(len(new.rows))
    known = np.array([row in live.places for row in new.rows])
    return np.flatnonzero(~known & ~live.has_learnt(new.rows))


def with_answers(
    new: Predictions, live: Predictions | None, places: np.ndarray, answers: Sequence[Mapping[str, Any]]
) -> Predictions:
    """The live model's predictions with the ``answers`` of its endpoint about some rows of ``new`` put in.

    Raises MlopsError if an answer is not a number for each column that both models have.
    """
    asked = new.take(places)
    columns = tuple(_answered(column, answers, live) for column in asked.columns if column.name in answers[0])
    if live is None:
        return replace(asked, columns=columns, trained_on=None)
    mine = {column.name: column for column in live.columns}
    merged = tuple(_joined(mine[one.name], one) for one in columns if one.name in mine)
    return replace(live, rows=(*live.rows, *asked.rows), columns=merged)


def _answered(column: Column, answers: Sequence[Mapping[str, Any]], live: Predictions | None) -> Column:
    try:
        predicted = np.array([float(answer[column.name]) for answer in answers])
    except (KeyError, TypeError, ValueError) as error:
        raise MlopsError(f"The live endpoint gives no number for {column.name}: {error}.") from error
    thresholds = {one.name: one.threshold for one in live.columns} if live else {}
    return replace(column, predicted=predicted, threshold=thresholds.get(column.name, column.threshold))


def _joined(first: Column, second: Column) -> Column:
    truth = np.concatenate([first.truth, second.truth])
    return replace(first, truth=truth, predicted=np.concatenate([first.predicted, second.predicted]))


def compare(metric: str, new: Predictions, live: Predictions, asked: int = 0) -> Comparison:
    """Both models by ``metric`` on all rows that both have predicted and the live one was not trained on.

    What is true is taken from ``new``. ``asked`` says how many of them were asked of the endpoint just now.
    """
    learnt = live.has_learnt(new.rows)
    places = np.array(
        [place for place, row in enumerate(new.rows) if row in live.places and not learnt[place]], np.intp
    )
    known = None if live.trained_on is None else int(learnt.sum())
    found = Comparison(metric, len(places), new.of, asked, known, RESAMPLES)
    if not len(places):
        return replace(found, problem=_nothing_common(found))
    pairs = _pairs(new.take(places), live.take(np.array([live.places[new.rows[place]] for place in places])))
    if not pairs:
        return replace(found, problem="the two models predict different things")
    if all(metric_for(metric, column) is None for column, _ in pairs):
        return replace(found, problem=f"mlops cannot compute {metric} from predictions")
    return replace(found, differences=_differences(metric, pairs))


def _nothing_common(found: Comparison) -> str:
    if found.learnt:
        return f"the live model was trained on {found.learnt:,} of the {found.of:,} test rows, the others are unknown"
    return "the live model was tested on other rows"


def _pairs(new: Predictions, live: Predictions) -> list[tuple[Column, Column]]:
    """The columns that both predict, with the new model's truth for both."""
    theirs = {(column.name, column.kind): column for column in live.columns}
    matches = [(column, theirs.get((column.name, column.kind))) for column in new.columns]
    return [(mine, replace(other, truth=mine.truth)) for mine, other in matches if other is not None]


def _differences(metric: str, pairs: list[tuple[Column, Column]]) -> tuple[Difference, ...]:
    now, live = resampled(metric, [[mine for mine, _ in pairs], [other for _, other in pairs]])
    tells = {mine.name: enough(mine) for mine, _ in pairs}
    if len(pairs) > 1:
        tells[MACRO] = any(tells.values())
    return tuple(
        Difference(name, _number(now[0, place]), _number(live[0, place]), *_interval(now, live, place, enough_of_it))
        for place, (name, enough_of_it) in enumerate(tells.items())
    )


def _interval(now: np.ndarray, live: np.ndarray, place: int, tells: bool) -> tuple[float | None, float | None]:
    found = bounds((now - live)[1:, place]) if tells else None
    return found or (None, None)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
