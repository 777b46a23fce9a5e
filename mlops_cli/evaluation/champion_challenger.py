"""Compare champion and challenger: choose the fair rows, and compute the difference with its noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np

from mlops_cli.core.models.comparison import Comparison, MetricDelta
from mlops_cli.core.models.metric_bounds import MACRO
from mlops_cli.errors import MlopsError
from mlops_cli.evaluation.bootstrap import (
    FEWEST,
    RESAMPLES,
    confidence_interval,
    has_enough_rows,
    metric_for,
    resample,
    resample_means,
)
from mlops_cli.evaluation.predictions import Column, Predictions, RowMetric, TableMetric, with_choices

ONCE_LIVE = "later models are compared once this one is live"


def unknown_rows(new: Predictions, live: Predictions | None) -> np.ndarray:
    """Return the positions in ``new`` of rows that the live model neither was trained on nor predicted."""
    if live is None:
        return np.arange(len(new.rows))
    is_known = np.array([row in live.row_positions for row in new.rows])
    return np.flatnonzero(~is_known & ~live.is_training_row(new.rows))


def with_predictions(
    new: Predictions, live: Predictions | None, positions: np.ndarray, answers: Sequence[Mapping[str, Any]]
) -> Predictions:
    """Return the live model's predictions, completed by its endpoint's ``answers`` for the rows ``positions``.

    Raise MlopsError if an answer is not a number for each column that both models have.
    """
    requested = new.take(positions)
    columns = tuple(_row_prediction(column, answers, live) for column in requested.columns if column.name in answers[0])
    if live is None:
        return replace(requested, columns=columns, trained_on=None)
    mine = {column.name: column for column in live.columns}
    merged = tuple(_joined(mine[column.name], column) for column in columns if column.name in mine)
    return replace(live, rows=(*live.rows, *requested.rows), columns=merged)


def _row_prediction(column: Column, answers: Sequence[Mapping[str, Any]], live: Predictions | None) -> Column:
    try:
        predicted = np.array([float(answer[column.name]) for answer in answers])
    except (KeyError, TypeError, ValueError) as error:
        raise MlopsError(f"The live endpoint gives no number for {column.name}: {error}.") from error
    thresholds = {live_column.name: live_column.threshold for live_column in live.columns} if live else {}
    return replace(column, predicted=predicted, threshold=thresholds.get(column.name, column.threshold))


def _joined(first: Column, second: Column) -> Column:
    truth = np.concatenate([first.truth, second.truth])
    return replace(first, truth=truth, predicted=np.concatenate([first.predicted, second.predicted]))


def compare(metric: str, new: Predictions, live: Predictions, requested: int = 0) -> Comparison:
    """Compare both models by ``metric`` on rows that both predicted and the live one was not trained on.

    The truth is that of ``new``. ``requested``: the number of rows that the endpoint has just predicted.
    """
    own, theirs = new.own_metrics.get(metric), live.own_metrics.get(metric)
    if own and (problem := _own_metric_problem(metric, own, theirs)):
        return Comparison(metric, problem=problem)
    in_training = live.is_training_row(new.rows)
    positions = np.array(
        [position for position, row in enumerate(new.rows) if row in live.row_positions and not in_training[position]],
        np.intp,
    )
    trained_on = None if live.trained_on is None else int(in_training.sum())
    comparison = Comparison(metric, len(positions), new.test_rows, requested, trained_on, RESAMPLES)
    if isinstance(own, TableMetric) and isinstance(theirs, TableMetric):
        return _compare_table_metric(comparison, new, live, own, theirs)
    if not len(positions):
        return replace(comparison, problem=_nothing_common(comparison))
    live_positions = np.array([live.row_positions[new.rows[position]] for position in positions])
    if metric in new.row_metrics:
        return _compare_row_metric(comparison, new, live, positions, live_positions)
    pairs = _pairs(new.take(positions), live.take(live_positions))
    if not pairs:
        return replace(comparison, problem="the two models predict different things")
    if all(metric_for(metric, column) is None for column, _ in pairs):
        return replace(comparison, problem=_unknown_metric(metric, new))
    differences = _differences(metric, pairs)
    if new.one_of and metric == "accuracy":  # the same number for all classes
        differences = differences[-1:]
    return replace(comparison, differences=differences)


def _unknown_metric(metric: str, new: Predictions) -> str:
    """Return why a metric is not compared: no function computes it from predictions."""
    own = new.own_metrics
    near = get_close_matches(metric, own, 1)
    advice = f"it has {', '.join(own)} instead" if own else "give it one"
    if near:
        advice = f"did you mean {near[0]}, which is there?"
    return (
        f"mlops cannot compute {metric} from predictions, and write_predictions was given no function for it; {advice}"
    )


def _own_metric_problem(metric: str, own: RowMetric | TableMetric, theirs: RowMetric | TableMetric | None) -> str:
    """Return why the values of a metric of the project's own cannot be compared."""
    if theirs is None:
        return f"the training of the live model recorded no {metric}; {ONCE_LIVE}"
    if theirs.function != own.function or type(theirs) is not type(own):
        return f"the function of {metric} has changed since the training of the live model; {ONCE_LIVE}"
    return ""


def _compare_row_metric(
    comparison: Comparison, new: Predictions, live: Predictions, positions: np.ndarray, live_positions: np.ndarray
) -> Comparison:
    """Compare the values that both trainings recorded, on the rows whose truth is the same."""
    theirs = {column.name: column.truth for column in live.columns}
    truths = [
        (column.truth[positions], theirs[column.name][live_positions])
        for column in new.columns
        if column.name in theirs
    ]
    if not truths:
        return replace(comparison, rows=0, problem="the two models predict different things")
    same = np.all([first == second for first, second in truths], axis=0)
    if not same.any():
        return replace(comparison, rows=0, problem="the live model was tested on other true values")
    metric = comparison.metric
    mine = new.row_metrics[metric].values[positions[same]]
    live_values = live.row_metrics[metric].values[live_positions[same]]
    return replace(comparison, rows=int(same.sum()), differences=(_mean_difference(_name_of(new), mine, live_values),))


def _compare_table_metric(
    comparison: Comparison, new: Predictions, live: Predictions, own: TableMetric, theirs: TableMetric
) -> Comparison:
    """Compare the values that both trainings recorded, because such a metric has no value for some rows only.

    If the two models have different test rows, each value is measured on the model's own test rows.
    """
    truths = {column.name: column.truth for column in live.columns}
    if {column.name for column in new.columns} != truths.keys():
        return replace(comparison, rows=0, problem="the two models predict different things")
    if training_rows := int(live.is_training_row(live.rows).sum()):
        rows = f"{training_rows:,} of its own {len(live.rows):,} test rows"
        problem = f"the live model was trained on {rows}: remove them from one of the two splits"
        return replace(comparison, rows=0, problem=problem)
    if new.rows != live.rows:
        trained_on = None if live.trained_on is None else 0
        comparison = replace(comparison, rows=len(new.rows), live_rows=len(live.rows), trained_on=trained_on)
    elif not all(np.array_equal(column.truth, truths[column.name]) for column in new.columns):
        return replace(comparison, rows=0, problem="the live model was tested on other true values")
    # The same rows have the same resamples. Resamples of different rows are independent.
    differences = own.resamples - theirs.resamples if len(own.resamples) == len(theirs.resamples) else np.empty(0)
    has_rows = min(len(new.rows), len(live.rows)) >= FEWEST
    interval = confidence_interval(differences) if has_rows and len(differences) else None
    delta = MetricDelta(_name_of(new), own.value, theirs.value, *(interval or (None, None)))
    return replace(comparison, resamples=len(differences), differences=(delta,))


def _name_of(predictions: Predictions) -> str:
    """Return the row's name for the value over all columns."""
    return predictions.columns[0].name if len(predictions.columns) == 1 else MACRO


def _mean_difference(name: str, new: np.ndarray, live: np.ndarray) -> MetricDelta:
    current, before = resample_means([new, live])
    interval = confidence_interval((current - before)[1:]) if len(new) >= FEWEST else None
    return MetricDelta(name, _number(current[0]), _number(before[0]), *(interval or (None, None)))


def _nothing_common(comparison: Comparison) -> str:
    if comparison.trained_on:
        trained = f"the live model was trained on {comparison.trained_on:,} of the {comparison.test_rows:,} test rows"
        return f"{trained}, the others are unknown"
    return "the live model was tested on other rows"


def _pairs(new: Predictions, live: Predictions) -> list[tuple[Column, Column]]:
    """Return the columns that both models predict, both with the new model's truth."""
    theirs = {(column.name, column.kind): column for column in live.columns}
    matches = [(column, theirs.get((column.name, column.kind))) for column in new.columns]
    pairs = [(mine, replace(live_column, truth=mine.truth)) for mine, live_column in matches if live_column is not None]
    if not new.one_of or not pairs:
        return pairs
    # Each model chooses among the classes that both know.
    mine, live_columns = (with_choices(tuple(columns)) for columns in zip(*pairs, strict=True))
    return list(zip(mine, live_columns, strict=True))


def _differences(metric: str, pairs: list[tuple[Column, Column]]) -> tuple[MetricDelta, ...]:
    current, live = resample(metric, [[mine for mine, _ in pairs], [live_column for _, live_column in pairs]])
    tells = {mine.name: has_enough_rows(mine) for mine, _ in pairs}
    if len(pairs) > 1:
        tells[MACRO] = any(tells.values())
    return tuple(
        MetricDelta(
            name,
            _number(current[0, position]),
            _number(live[0, position]),
            *_interval(current, live, position, enough_of_it),
        )
        for position, (name, enough_of_it) in enumerate(tells.items())
    )


def _interval(current: np.ndarray, live: np.ndarray, position: int, tells: bool) -> tuple[float | None, float | None]:
    interval = confidence_interval((current - live)[1:, position]) if tells else None
    return interval or (None, None)


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
