"""Two models on the same rows: the rows that neither has learnt, differences beyond noise, and the conclusion."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mlops_cli.core.jobs.script_environment import LIBRARY
from mlops_cli.core.models.comparison import (
    Comparison,
    ComparisonResult,
    MetricDelta,
    comparison_from,
    describe_rows,
    summarize,
)
from mlops_cli.core.models.evidence import make_evidence
from mlops_cli.core.models.metric_bounds import Metrics
from mlops_cli.core.runs import StageRun, new_run
from mlops_cli.errors import MlopsError
from mlops_cli.evaluation.bootstrap import FEWEST
from mlops_cli.evaluation.champion_challenger import compare, unknown_rows, with_predictions
from mlops_cli.evaluation.predictions import Column, Predictions, RowMetric, TableMetric

sys.path.append(str(LIBRARY.parent))

from mlops_scripts import table_metrics

ROWS = 400


def names(start: int, rows: int = ROWS) -> tuple[str, ...]:
    return tuple(f"{index:08x}" for index in range(start, start + rows))


def model(
    quality: float,
    start: int = 0,
    trained_on: list[int] | None = None,
    columns: tuple[str, ...] = ("toxic", "threat"),
    noise: int = 2,
) -> Predictions:
    """Return a model with predictions for 400 rows from ``start`` on. A row's truth is the same in every model."""
    return Predictions(
        "test",
        ROWS,
        names(start),
        tuple(_column(name, quality, start, noise + index) for index, name in enumerate(columns)),
        None if trained_on is None else np.array(trained_on, np.uint32),
    )


def _column(name: str, quality: float, start: int, noise: int) -> Column:
    truth = (np.random.default_rng(8).random(5 * ROWS) < 0.3).astype(float)[start : start + ROWS]
    scores = np.random.default_rng(noise).normal(0.5 + quality * (truth - 0.5), 0.2)
    return Column(name, "label", truth, np.clip(scores, 0, 1), 0.5)


@pytest.mark.parametrize(
    ("new", "live", "result"),
    [(0.5, 0.2, ComparisonResult.BETTER), (0.2, 0.5, ComparisonResult.WORSE), (0.3, 0.3, ComparisonResult.LEVEL)],
)
def test_a_difference_beyond_noise_is_seen_and_noise_is_not(new: float, live: float, result: ComparisonResult) -> None:
    comparison = compare("roc_auc", model(new), model(live, noise=50))
    assert comparison.result is result
    assert [difference.name for difference in comparison.differences] == ["toxic", "threat", "macro"]
    assert (comparison.rows, comparison.test_rows) == (ROWS, ROWS)


def test_of_a_loss_less_is_better() -> None:
    comparison = replace(compare("log_loss", model(0.5), model(0.2, noise=50)), lower_is_better=True)
    assert comparison.overall is not None
    assert comparison.overall.value is not None
    assert comparison.overall.value < 0
    assert comparison.better


def test_only_common_rows_that_the_live_model_has_not_learnt_are_compared() -> None:
    live = model(0.3, start=100, trained_on=[*range(50), *range(390, 400)])
    comparison = compare("roc_auc", model(0.3), live)
    assert (comparison.rows, comparison.trained_on) == (290, 60)
    assert describe_rows(comparison) == "290 of 400 test rows; the live model was trained on 60 others"


def test_models_without_common_rows_are_reported() -> None:
    comparison = compare("roc_auc", model(0.3), model(0.3, start=500, trained_on=[]))
    assert comparison.problem == "the live model was tested on other rows"
    assert summarize(comparison) == "not compared: the live model was tested on other rows"
    assert not comparison.better


def test_unknown_rows_are_neither_predicted_nor_learnt_by_the_live_model() -> None:
    new, live = model(0.3), model(0.3, start=100, trained_on=list(range(50)))
    positions = unknown_rows(new, live)
    assert positions.tolist() == list(range(50, 100))
    assert unknown_rows(new, None).tolist() == list(range(ROWS))


def test_answers_are_put_in_and_count_as_asked() -> None:
    new, live = model(0.3), model(0.3, start=100, trained_on=list(range(50)))
    positions = unknown_rows(new, live)
    answers = [{"toxic": 0.9, "threat": 0.1, "further": 1}] * len(positions)
    merged = with_predictions(new, live, positions, answers)
    comparison = compare("roc_auc", new, merged, requested=len(positions))
    assert (comparison.rows, comparison.requested, comparison.trained_on) == (350, 50, 50)
    position = merged.row_positions[new.rows[60]]
    assert [column.predicted[position] for column in merged.columns] == [0.9, 0.1]


def test_without_a_record_the_training_rows_of_the_live_model_are_unknown() -> None:
    new = model(0.5)
    merged = with_predictions(new, None, unknown_rows(new, None), [{"toxic": 0.5, "threat": 0.5}] * ROWS)
    comparison = compare("roc_auc", new, merged, requested=ROWS)
    assert comparison.trained_on is None
    assert describe_rows(comparison).endswith("whether the live model was trained on some of them is not known")
    assert comparison.better


@pytest.mark.parametrize("answer", [{"toxic": "high", "threat": 0}, {"toxic": None, "threat": 0}])
def test_an_answer_that_is_no_number_is_refused(answer: dict[str, object]) -> None:
    new = model(0.3)
    with pytest.raises(MlopsError, match="gives no number for toxic"):
        with_predictions(new, None, np.array([0]), [answer])


def test_models_with_different_labels_are_compared_on_the_common_labels() -> None:
    comparison = compare("roc_auc", model(0.3), model(0.3, columns=("threat", "spam")))
    assert [difference.name for difference in comparison.differences] == ["threat"]
    assert compare("roc_auc", model(0.3), model(0.3, columns=("spam",))).problem == (
        "the two models predict different things"
    )


def test_a_metric_that_cannot_be_computed_is_reported() -> None:
    nowhere = "mlops cannot compute bleu from predictions, and write_predictions was given no function for it; "
    assert compare("bleu", model(0.3), model(0.3)).problem == f"{nowhere}give it one"
    misspelt = replace(
        model(0.3), row_metrics={"blue": RowMetric(np.zeros(1), "f"), "cost": RowMetric(np.zeros(1), "g")}
    )
    assert compare("bleu", misspelt, model(0.3)).problem == f"{nowhere}did you mean blue, which is there?"
    assert compare("xyz", misspelt, model(0.3)).problem.endswith("it has blue, cost instead")


def test_a_label_with_too_few_positives_has_no_interval() -> None:
    new, live = model(0.5), model(0.5, noise=50)
    rare = np.zeros(ROWS)
    rare[:3] = 1
    new = Predictions("test", ROWS, new.rows, (Column("toxic", "label", rare, rare), *new.columns[1:]), None)
    comparison = compare("roc_auc", new, live)
    assert comparison.result_for(comparison.differences[0]) is ComparisonResult.UNKNOWN
    assert (comparison.differences[0].new, comparison.differences[0].low) == (1.0, None)
    assert comparison.result_for(comparison.differences[1]) is ComparisonResult.LEVEL


def test_the_true_labels_are_those_of_the_new_model() -> None:
    """A corrected label counts for both models."""
    new = model(0.5)
    turned = tuple(Column(column.name, "label", 1 - column.truth, column.predicted, 0.5) for column in new.columns)
    live = Predictions("test", ROWS, new.rows, turned, None)
    assert all(difference.value == 0 for difference in compare("roc_auc", new, live).differences)


def test_a_comparison_survives_being_written_down() -> None:
    comparison = compare("roc_auc", model(0.5), model(0.2, noise=50))
    assert comparison_from(comparison.to_dict()) == comparison
    assert comparison.to_dict()["differences"]["macro"]["result"] == "better"


def test_the_conclusion_names_figures() -> None:
    comparison = Comparison("roc_auc", 10, 10, differences=(MetricDelta("macro", 0.967, 0.961, 0.002, 0.01),))
    assert summarize(comparison) == "better: macro roc_auc 0.967 against 0.961, +0.006 (+0.002 to +0.010)"


def with_cost(predictions: Predictions, function: str = "f1") -> Predictions:
    (column,) = predictions.columns
    values = np.where(column.truth == 1, 5.0, 1.0) * np.abs(column.truth - column.predicted)
    return replace(predictions, row_metrics={"cost": RowMetric(values, function)})


def one_label(quality: float, **options: object) -> Predictions:
    return model(quality, columns=("toxic",), **options)


def test_a_metric_of_the_projects_own_is_compared_on_rows_that_both_have() -> None:
    live = with_cost(one_label(0.2, noise=50, trained_on=[1, 2, 3, ROWS + 1]))
    comparison = replace(compare("cost", with_cost(one_label(0.5, start=200)), live), lower_is_better=True)
    assert (comparison.rows, comparison.trained_on, comparison.result) == (200, 1, ComparisonResult.BETTER)
    (delta,) = comparison.differences
    common = slice(200, ROWS)
    assert delta.name == "toxic"
    assert delta.live == pytest.approx(live.row_metrics["cost"].values[common].mean(), rel=1e-5)
    worse = replace(compare("cost", live, with_cost(one_label(0.5))), lower_is_better=True)
    assert worse.result is ComparisonResult.WORSE


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (one_label(0.2), "recorded no cost; later models are compared once this one is live"),
        (with_cost(one_label(0.2), "f2"), "the function of cost has changed since the training of the live model"),
        (with_cost(one_label(0.2, start=ROWS)), "the live model was tested on other rows"),
        (with_cost(model(0.2, columns=("insult",))), "the two models predict different things"),
    ],
)
def test_values_of_another_function_or_of_other_rows_are_not_compared(live: Predictions, problem: str) -> None:
    assert problem in compare("cost", with_cost(one_label(0.5)), live).problem


def test_values_of_rows_with_another_truth_are_left_out() -> None:
    live = with_cost(one_label(0.2))
    truth = live.columns[0].truth.copy()
    truth[:100] = 1 - truth[:100]
    other = replace(live, columns=(replace(live.columns[0], truth=truth),))
    assert compare("cost", with_cost(one_label(0.5)), other).rows == ROWS - 100
    turned = replace(live, columns=(replace(live.columns[0], truth=1 - live.columns[0].truth),))
    assert "on other true values" in compare("cost", with_cost(one_label(0.5)), turned).problem


def p90(truths: list[float], predictions: list[float]) -> float:
    errors = sorted(abs(true - guess) for true, guess in zip(truths, predictions, strict=True))
    return errors[int(0.9 * len(errors))]


def precision_at_half(truths: list[float], predictions: list[float]) -> float:
    chosen = [true for true, guess in zip(truths, predictions, strict=True) if guess >= 0.5]
    return sum(chosen) / len(chosen)


def with_p90(predictions: Predictions, metric: Callable[..., float] = p90) -> Predictions:
    columns = {
        column.name: {"truth": column.truth.tolist(), "predicted": column.predicted.tolist()}
        for column in predictions.columns
    }
    (described,) = table_metrics.described({"p90": metric}, columns).values()
    resamples = np.array([np.nan if value is None else value for value in described["resamples"]])
    return replace(
        predictions, table_metrics={"p90": TableMetric(described["value"], resamples, described["function"])}
    )


def test_a_metric_of_the_whole_table_is_compared_on_the_same_rows_with_its_noise() -> None:
    new, live = with_p90(one_label(0.5)), with_p90(one_label(0.2, noise=50))
    comparison = replace(compare("p90", new, live), lower_is_better=True)
    assert (comparison.rows, comparison.resamples, comparison.result) == (ROWS, 200, ComparisonResult.BETTER)
    (delta,) = comparison.differences
    assert (delta.name, delta.new, delta.live) == (
        "toxic",
        new.table_metrics["p90"].value,
        live.table_metrics["p90"].value,
    )
    assert delta.low is not None
    assert delta.high is not None
    assert delta.value is not None
    assert delta.low < delta.value < delta.high < 0
    assert replace(compare("p90", live, new), lower_is_better=True).result is ComparisonResult.WORSE
    assert compare("p90", new, new).result is ComparisonResult.LEVEL, "the resamples of both are the same"
    assert comparison_from(comparison.to_dict()) == comparison


def test_without_enough_resamples_that_are_defined_there_is_no_interval() -> None:
    never = with_p90(one_label(0.5), precision_at_half)
    metric = never.table_metrics["p90"]
    few = replace(never, table_metrics={"p90": replace(metric, resamples=np.full(200, np.nan))})
    assert compare("p90", never, few).result is ComparisonResult.UNKNOWN
    shorter = replace(never, table_metrics={"p90": replace(metric, resamples=metric.resamples[:100])})
    assert compare("p90", never, shorter).result is ComparisonResult.UNKNOWN, "of another version of mlops"


@pytest.mark.parametrize(
    ("live", "problem"),
    [
        (one_label(0.2), "recorded no p90; later models are compared once this one is live"),
        (with_p90(one_label(0.2), precision_at_half), "the function of p90 has changed since the training of the live"),
        (
            with_p90(one_label(0.2, trained_on=[1, 2])),
            "trained on 2 of its own 400 test rows: remove them from one of the two splits",
        ),
        (with_p90(model(0.2, columns=("insult",))), "the two models predict different things"),
        (
            replace(model(0.2), table_metrics=with_p90(one_label(0.2)).table_metrics),
            "the two models predict different things",
        ),
    ],
)
def test_the_table_is_not_compared_by_another_function_or_on_learnt_rows(live: Predictions, problem: str) -> None:
    assert problem in compare("p90", with_p90(one_label(0.5)), live).problem


@pytest.mark.parametrize("start", [200, ROWS])
def test_a_table_metric_on_other_rows_never_beats_the_live_model(start: int) -> None:
    new, live = with_p90(one_label(0.5)), with_p90(one_label(0.2, noise=50, start=start, trained_on=[0]))
    comparison = replace(compare("p90", new, live), lower_is_better=True)
    assert (comparison.rows, comparison.live_rows, comparison.trained_on, comparison.problem) == (ROWS, ROWS, 0, "")
    assert comparison.result is ComparisonResult.BETTER
    assert not comparison.better, "the rows may be easier"
    (delta,) = comparison.differences
    assert (delta.new, delta.live) == (new.table_metrics["p90"].value, live.table_metrics["p90"].value)
    assert summarize(comparison).startswith("better, each on its own test rows: toxic p90 ")
    run = new_run("r1", {})
    run.training.output = "new"
    evidence = make_evidence(
        run, Metrics("test", "p90", must_beat_live=True), {}, StageRun("train", output="live"), None, comparison
    )
    (shortfall,) = [text for text in evidence.shortfalls if text.startswith("must_beat_live")]
    assert shortfall.startswith(
        "must_beat_live: it cannot be known, as the live model was tested on other rows (better, "
    )
    assert "let preprocess.py keep the live model's test rows; p90 as a row_metric is compared" in shortfall
    assert describe_rows(comparison) == "other rows: 400 test rows of this model, 400 of the live one"
    assert comparison_from(comparison.to_dict()) == comparison
    unknown = compare("p90", new, replace(live, trained_on=None))
    assert describe_rows(unknown).endswith("whether it was trained on some of them is not known")
    few = with_p90(one_label(0.2).take(np.arange(FEWEST - 1)))
    assert compare("p90", new, few).result is ComparisonResult.UNKNOWN


def test_a_table_with_another_truth_is_not_compared() -> None:
    live = with_p90(one_label(0.2))
    truth = live.columns[0].truth.copy()
    truth[0] = 1 - truth[0]
    other = replace(live, columns=(replace(live.columns[0], truth=truth),))
    assert "on other true values" in compare("p90", with_p90(one_label(0.5)), other).problem


def test_a_metric_of_rows_that_became_one_of_the_table_is_another_function() -> None:
    (metric,) = with_p90(one_label(0.2)).table_metrics.values()
    live = replace(one_label(0.2), row_metrics={"p90": RowMetric(np.zeros(ROWS), metric.function)})
    assert "the function of p90 has changed" in compare("p90", with_p90(one_label(0.5)), live).problem
