"""Warnings before a decision, as an ML engineer would give them: one rule, one sentence."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.core.models.comparison import ComparisonResult
from mlops_cli.core.models.metric_bounds import MACRO
from mlops_cli.evaluation.curves import calibration, calibration_error
from mlops_cli.evaluation.predictions import LABEL
from mlops_cli.frameworks.package_check import UNSAFE_FILES, UNTRIED
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape, number, share, title
from mlops_cli.report.sections.distribution_shift import shifted_features
from mlops_cli.report.sections.training_curves import series

FEW_POSITIVES = 50
POOR_CALIBRATION = 0.05
OVERFIT = 1.05
GAP = 0.02
MOST_DRIFTS = 4


def warnings(context: ReportContext) -> list[str]:
    """Return sentences as HTML, the most important first."""
    rules = (
        _synthetic,
        _untried,
        _unsafe,
        _unpredicted,
        _unfair,
        _worse_somewhere,
        _few,
        _gap,
        _overfit,
        _uncalibrated,
        _drift,
    )
    return [remark for rule in rules for remark in rule(context)]


def _synthetic(context: ReportContext) -> Iterator[str]:
    if context.evidence.data.get("synthetic"):
        yield "The data is <b>synthetic</b>: these figures say nothing about real input."


def _untried(context: ReportContext) -> Iterator[str]:
    """Warn of a model that nothing has loaded yet."""
    if reason := context.run.training.detail.get(UNTRIED):
        yield f"The model was <b>not tried</b>: {escape(str(reason))}. Its deployment will show if it can be served."


def _unsafe(context: ReportContext) -> Iterator[str]:
    """Warn of files that the package's own model_fn may load as pickles."""
    names = context.run.training.detail.get(UNSAFE_FILES, [])
    if isinstance(names, list) and names:
        shown = ", ".join(f"<code>{escape(str(name))}</code>" for name in names[:MOST_DRIFTS])
        yield f"The model package has files that may run code when they are loaded: {shown}."


def _unpredicted(context: ReportContext) -> Iterator[str]:
    if context.problem:
        yield f"The report has no curves, intervals and worst predictions: {escape(context.problem)}."


def _unfair(context: ReportContext) -> Iterator[str]:
    comparison = context.evidence.comparison
    if comparison is None or not context.evidence.has_champion:
        return
    if comparison.problem:
        yield f"Not compared with the live model: {escape(comparison.problem)}."
    elif comparison.trained_on is None:
        yield (
            "It is not known which rows the live model was trained on. If some of them are test rows now, its metrics "
            "are too good."
        )
    elif comparison.live_rows:
        yield (
            f"The live model was tested on other rows, and {escape(comparison.metric)} is a number of all of them: the "
            "difference may be one of the rows."
        )
    elif comparison.rows < comparison.test_rows / 2:
        yield (
            f"Only {comparison.rows:,} of {count(comparison.test_rows, 'test row')} could be compared "
            "with the live model"
            + (f": it was trained on {comparison.trained_on:,} of them." if comparison.trained_on else ".")
        )


def _worse_somewhere(context: ReportContext) -> Iterator[str]:
    comparison = context.evidence.comparison
    if comparison is None or not context.evidence.has_champion:
        return
    worse = [delta for delta in comparison.differences[:-1] if comparison.result_for(delta) is ComparisonResult.WORSE]
    if worse:
        names = ", ".join(title(delta.name) for delta in worse)
        yield f"Worse than the live model, beyond noise, on <b>{names}</b>."


def _few(context: ReportContext) -> Iterator[str]:
    columns = context.predictions.columns if context.predictions else ()
    rare = [(int(column.truth.sum()), column.name) for column in columns if column.kind == LABEL]
    rare_labels = [f"{title(name)} ({positives:,})" for positives, name in sorted(rare) if positives < FEW_POSITIVES]
    if rare_labels:
        yield f"Few positives in the test rows, so the metrics are imprecise: {', '.join(rare_labels)}."


def _gap(context: ReportContext) -> Iterator[str]:
    """Warn of a model that was selected on one split and is worse on another."""
    splits = context.metrics.get("metrics")
    primary, split = context.evidence.primary, context.evidence.split
    values = {name: _overall(rows, primary) for name, rows in splits.items()} if isinstance(splits, dict) else {}
    mine = values.pop(split, None)
    for name, value in values.items():
        if mine is not None and value is not None and value - mine > GAP:
            yield f"{title(primary)} is {number(value)} on {escape(name)}, but {number(mine)} on {escape(split)}."


def _overall(rows: object, metric: str) -> float | None:
    row = rows.get(MACRO) if isinstance(rows, dict) else None
    value = row.get(metric) if isinstance(row, dict) else None
    return value if isinstance(value, float) else None


def _overfit(context: ReportContext) -> Iterator[str]:
    for name, values in series(context.metrics).items():
        if "val" in name and "loss" in name and len(values) > 1 and values[-1][1] > OVERFIT * min(y for _, y in values):
            yield f"{title(name)} rises towards the end of the training: the model may be overfitting."


def _uncalibrated(context: ReportContext) -> Iterator[str]:
    columns = context.predictions.columns if context.predictions else ()
    for column in columns[:MOST_DRIFTS] if context.predictions and context.predictions.one_of else columns:
        if column.kind == LABEL:
            error = calibration_error(calibration(column))
            if error > POOR_CALIBRATION:
                yield f"The probabilities of {title(column.name)} are off by {share(error)} on average."


def _drift(context: ReportContext) -> Iterator[str]:
    shifts = shifted_features(context.profile, context.live_profile)
    if shifts:
        more = f" and {len(shifts) - MOST_DRIFTS} more" if len(shifts) > MOST_DRIFTS else ""
        listed = ", ".join(shifts[:MOST_DRIFTS])
        yield f"The data differs from the live model's training data: {listed}{more}."
