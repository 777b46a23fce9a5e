"""Metrics of bootstrap resamples equal those of scikit-learn with the same weights; the intervals are correct."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as reference

from mlops_cli.evaluation.bootstrap import (
    FEWEST,
    RESAMPLES,
    confidence_interval,
    has_enough_rows,
    metric_for,
    resample,
    weights,
)
from mlops_cli.evaluation.predictions import Column

ROWS = 400
At = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def label(quality: float, ties: bool = False, rate: float = 0.3, seed: int = 1, noise: int = 2) -> Column:
    """Return a label with better predictions for a higher ``quality``."""
    truth = (np.random.default_rng(seed).random(ROWS) < rate).astype(float)
    scores = np.random.default_rng(noise).normal(0.4 + quality * (truth - 0.5), 0.2)
    return Column("long", "label", truth, np.clip(scores.round(1) if ties else scores, 0, 1), 0.45)


def number() -> Column:
    random = np.random.default_rng(3)
    truth = random.normal(50, 10, ROWS)
    return Column("price", "number", truth, truth + random.normal(1, 4, ROWS))


LABEL_METRICS: dict[str, At] = {
    "roc_auc": lambda truth, scores, w: reference.roc_auc_score(truth, scores, sample_weight=w),
    "average_precision": lambda truth, scores, w: reference.average_precision_score(truth, scores, sample_weight=w),
    "f1": lambda truth, scores, w: reference.f1_score(truth, scores >= 0.45, sample_weight=w),
    "accuracy": lambda truth, scores, w: reference.accuracy_score(truth, scores >= 0.45, sample_weight=w),
    "brier": lambda truth, scores, w: reference.brier_score_loss(truth, scores, sample_weight=w),
    "log_loss": lambda truth, scores, w: reference.log_loss(truth, np.clip(scores, 1e-7, 1 - 1e-7), sample_weight=w),
}
NUMBER_METRICS: dict[str, At] = {
    "mae": lambda truth, predicted, w: reference.mean_absolute_error(truth, predicted, sample_weight=w),
    "rmse": lambda truth, predicted, w: reference.mean_squared_error(truth, predicted, sample_weight=w) ** 0.5,
    "r2": lambda truth, predicted, w: reference.r2_score(truth, predicted, sample_weight=w),
}


def agrees(name: str, column: Column, expected: At) -> None:
    part = next(weights(ROWS))
    metric = metric_for(name, column)
    assert metric is not None
    value = metric(part)
    assert value.shape == (part.shape[1],)
    for place in (0, 7, 63):
        assert value[place] == pytest.approx(expected(column.truth, column.predicted, part[:, place]), rel=1e-5)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("name", LABEL_METRICS)
def test_a_labels_metrics(name: str, ties: bool) -> None:
    agrees(name, label(0.3, ties), LABEL_METRICS[name])


@pytest.mark.parametrize("name", NUMBER_METRICS)
def test_a_numbers_metrics(name: str) -> None:
    agrees(name, number(), NUMBER_METRICS[name])


def test_resamples_are_drawn_with_replacement_and_are_the_same_each_time() -> None:
    first, second = (np.concatenate(list(weights(ROWS)), axis=1) for _ in range(2))
    assert first.shape == (ROWS, RESAMPLES)
    assert (first == second).all()
    assert (first.sum(axis=0) == ROWS).all()
    assert first.mean(axis=1).std() < 0.1
    assert len({column.tobytes() for column in first.T}) == RESAMPLES


def test_the_first_value_is_of_the_rows_as_they_are_and_the_last_column_the_mean() -> None:
    columns = [label(0.3), label(0.1, noise=9)]
    (values,) = resample("roc_auc", [columns])
    assert values.shape == (1 + RESAMPLES, 3)
    expected = [reference.roc_auc_score(column.truth, column.predicted) for column in columns]
    assert values[0] == pytest.approx([*expected, sum(expected) / 2])


def test_equal_predictions_have_no_difference_in_any_resample() -> None:
    first, second = resample("roc_auc", [[label(0.3)], [label(0.3)]])
    assert (first == second).all()


def test_paired_resamples_have_narrower_intervals_than_unpaired_ones() -> None:
    """If two models err on the same rows, their difference has far less noise than either metric."""
    first = label(0.3)
    second = Column("long", "label", first.truth, first.predicted + 0.02 * np.random.default_rng(5).normal(size=ROWS))
    one_sample, other_sample = (values[1:, 0] for values in resample("roc_auc", [[first], [second]]))
    assert (one_sample - other_sample).std() < 0.25 * np.hypot(one_sample.std(), other_sample.std())


def test_intervals_contain_the_true_value_at_their_confidence_level() -> None:
    """Of 100 equally good models, about 5 may differ."""
    outside = 0
    for seed in range(100):
        pair = [[label(0.2, seed=seed, noise=1000 + seed)], [label(0.2, seed=seed, noise=2000 + seed)]]
        first, second = resample("roc_auc", pair)
        interval = confidence_interval((first - second)[1:, 0])
        assert interval is not None
        outside += not interval[0] <= 0 <= interval[1]
    assert 0 < outside <= 12


def test_a_label_without_positives_in_some_resamples_has_no_value_there() -> None:
    truth = np.zeros(ROWS)
    truth[3] = 1
    column = Column("rare", "label", truth, np.linspace(0, 1, ROWS), 0.5)
    for name in ("roc_auc", "average_precision", "f1"):
        (values,) = resample(name, [[column]])
        assert 0 < np.isnan(values[:, 0]).sum() < RESAMPLES
    assert not has_enough_rows(column)


def test_too_few_rows_or_labels_give_no_interval() -> None:
    truth = np.zeros(ROWS)
    truth[:FEWEST] = 1
    assert has_enough_rows(Column("rare", "label", truth, truth))
    truth[0] = 0
    assert not has_enough_rows(Column("rare", "label", truth, truth))
    assert not has_enough_rows(Column("common", "label", 1 - truth, truth))
    assert confidence_interval(np.full(10, np.nan)) is None


@pytest.mark.parametrize("name", ["bleu", "r2", ""])
def test_an_unknown_metric_is_none(name: str) -> None:
    assert metric_for(name, label(0.3)) is None


def test_a_metric_at_a_threshold_needs_one() -> None:
    column = label(0.3)
    assert metric_for("f1", Column("long", "label", column.truth, column.predicted)) is None
