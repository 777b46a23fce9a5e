"""The points of the plots equal those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference

from mlops_cli.evaluation.curves import (
    MOST_POINTS,
    Confusion,
    calibration,
    calibration_error,
    confusion,
    largest_errors,
    precision_recall,
    precision_recall_by_threshold,
    roc,
    wilson_interval,
    worst,
)
from mlops_cli.evaluation.predictions import Column


@pytest.fixture(params=["many ties", "few ties"])
def column(request: pytest.FixtureRequest) -> Column:
    random = np.random.default_rng(4)
    truth = (random.random(3000) < 0.1).astype(float)
    scores = np.clip(random.normal(0.3 + 0.2 * truth, 0.15), 0, 1)
    return Column("toxic", "label", truth, scores.round(1) if request.param == "many ties" else scores, 0.4)


def area(points: list[tuple[float, float]]) -> float:
    x, y = np.array(points).T
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def test_the_roc_curve_has_the_area_that_the_metric_says(column: Column) -> None:
    points = roc(column)
    assert len(points) <= MOST_POINTS + 2
    assert (points[0], points[-1]) == ((0, 0), (1, 1))
    assert area(points) == pytest.approx(reference.roc_auc_score(column.truth, column.predicted), abs=0.004)


def test_the_precision_recall_curve_goes_through_the_true_points(column: Column) -> None:
    precision, recall, _ = reference.precision_recall_curve(column.truth, column.predicted)
    true = {(round(r, 9), round(p, 9)) for p, r in zip(precision, recall, strict=True)}
    points = precision_recall(column)
    assert len(points) <= MOST_POINTS + 2
    assert points[-1][0] == 1
    assert {(round(r, 9), round(p, 9)) for r, p in points} <= true


def test_confusion_counts_every_row_once(column: Column) -> None:
    matrix = confusion(column, 0.4)
    (tn, fp), (fn, tp) = reference.confusion_matrix(column.truth, column.predicted >= 0.4)
    assert matrix == Confusion(true_positives=tp, false_positives=fp, false_negatives=fn, true_negatives=tn)
    assert matrix.precision == pytest.approx(reference.precision_score(column.truth, column.predicted >= 0.4))
    assert matrix.recall == pytest.approx(reference.recall_score(column.truth, column.predicted >= 0.4))


def test_the_sweep_equals_the_confusion_matrix_at_each_threshold(column: Column) -> None:
    precision, recall = precision_recall_by_threshold(column)
    for threshold in (0.1, 0.4, 0.5):
        matrix = confusion(column, threshold)
        assert dict(recall)[threshold] == pytest.approx(matrix.recall)
        assert dict(precision)[threshold] == pytest.approx(matrix.precision)


def test_without_a_positive_prediction_there_is_no_precision() -> None:
    column = Column("toxic", "label", np.array([0.0, 1.0]), np.array([0.1, 0.2]))
    matrix = confusion(column, 0.9)
    assert (matrix.precision, matrix.recall) == (None, 0.0)


def test_only_calibrated_predictions_count_as_calibrated() -> None:
    random = np.random.default_rng(1)
    chance = random.random(20_000)
    truth = (random.random(20_000) < chance).astype(float)
    good = calibration(Column("a", "label", truth, chance))
    assert len(good) == 10
    assert sum(bin_.rows for bin_ in good) == 20_000
    assert all(bin_.low <= bin_.rate <= bin_.high for bin_ in good)
    assert calibration_error(good) < 0.02
    assert calibration_error(calibration(Column("a", "label", truth, chance / 2))) > 0.2


def test_a_share_seen_in_few_rows_is_uncertain() -> None:
    assert wilson_interval(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    low, high = wilson_interval(0.0, 5)
    assert (low, high < 0.5) == (0.0, True)


def test_the_worst_mistakes_are_mistakes_and_the_worst_first() -> None:
    truth, scores = np.array([0, 0, 0, 1, 1, 1.0]), np.array([0.9, 0.1, 0.6, 0.2, 0.8, 0.3])
    alarms, misses = worst(Column("a", "label", truth, scores, 0.5), 5)
    assert (alarms.tolist(), misses.tolist()) == ([0, 2], [3, 5])
    assert largest_errors(Column("a", "number", truth, scores), 2).tolist() == [0, 3]
