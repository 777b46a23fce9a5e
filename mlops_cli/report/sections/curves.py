"""A card for each output of the model: its curves, its calibration, and the effect of its threshold."""

from __future__ import annotations

import numpy as np

from mlops_cli.core.models.metric_rows import MetricRow
from mlops_cli.evaluation import curves as measured
from mlops_cli.evaluation.bootstrap import metric_for
from mlops_cli.evaluation.predictions import LABEL, Column
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import count, escape, number, share, title
from mlops_cli.report.svg import Plot, tick, ticks

HALVES = [(0.0, "0"), (0.5, ".5"), (1.0, "1")]
# A longer page would be slow and nobody would read it: only the weakest rows are shown.
MOST_CARDS = 24


def curves(context: ReportContext) -> str:
    predictions = context.predictions
    if predictions is None:
        return ""
    chosen = _weakest(predictions.columns, context)
    cards = "".join(_card(column, context) for column in chosen)
    if predictions.one_of:  # curves of many classes would hide the following sections
        cards = f"<details><summary>Show the curves of {count(len(chosen), 'class', 'es')}</summary>{cards}</details>"
    left_out = (
        f", of the {len(chosen)} weakest of {len(predictions.columns)}"
        if len(chosen) < len(predictions.columns)
        else ""
    )
    sample = (
        f" From a sample of {len(predictions.rows):,} of the {predictions.test_rows:,} test rows."
        if len(predictions.rows) < predictions.test_rows
        else ""
    )
    legend = "\n◇ the model at its threshold." if any(column.threshold is not None for column in chosen) else ""
    return f"""<section id="curves"><h2>Curves, one by one</h2>
<p class="soft">On the {escape(predictions.split)} split{left_out}.{sample}{legend}</p>
{cards}</section>"""


def _weakest(columns: tuple[Column, ...], context: ReportContext) -> list[Column]:
    values = {row.name: row.metrics.get(context.evidence.primary) for row in context.evidence.rows}
    kept = sorted(columns, key=lambda column: values.get(column.name) or 0.0)[:MOST_CARDS]
    return [column for column in columns if column in kept] if len(columns) > MOST_CARDS else list(columns)


def _card(column: Column, context: ReportContext) -> str:
    row = next((row for row in context.evidence.rows if row.name == column.name), None)
    panels = _label_panels(column, row, _is_class(context)) if column.kind == LABEL else _number_panels(column)
    about = _label_summary(column, _is_class(context)) if column.kind == LABEL else _number_summary(column)
    return (
        f'<article class="card"><h3>{title(column.name)}</h3><p>{about}</p><div class="panels">{panels}</div></article>'
    )


def _is_class(context: ReportContext) -> bool:
    """Return True if the labels are classes: then the likeliest one is chosen, without a threshold."""
    return context.predictions is not None and context.predictions.one_of


def _label_summary(column: Column, is_class: bool) -> str:
    positives, rows = int(column.truth.sum()), len(column.truth)
    base = f"{count(positives, 'positive')} in {count(rows, 'row')} ({share(positives / rows)})"
    if is_class:
        return f"{base}."
    if column.threshold is None:
        return f"{base}; no threshold"
    confusion = measured.confusion(column, column.threshold)
    return (
        f"{base}. At the threshold <b>{number(column.threshold)}</b>: recall <b>{share(confusion.recall)}</b>, "
        f"precision <b>{share(confusion.precision)}</b>."
    )


def _label_panels(column: Column, row: MetricRow | None, is_class: bool) -> str:
    values = {**_areas(column), **(row.metrics if row else {})}
    bins = measured.calibration(column)
    named = {
        f"ROC <b>area {number(values.get('roc_auc'))}</b>": _roc(column),
        f"Precision–recall <b>area {number(values.get('average_precision'))}</b>": _precision_recall(column),
        f"Calibration <b>off by {share(measured.calibration_error(bins))}</b>": _calibration(column, bins),
    }
    if not is_class:
        named["By threshold <b>━ precision &nbsp;╌ recall</b>"] = _sweep(column)
    figures = "".join(_figure(caption, plot) for caption, plot in named.items())
    return figures + (_confusion(column, column.threshold) if column.threshold is not None else "")


def _areas(column: Column) -> dict[str, float | None]:
    """Return the areas under the drawn curves, if metrics.json has none."""
    whole = np.ones((len(column.truth), 1), np.float32)
    metrics = {name: metric_for(name, column) for name in ("roc_auc", "average_precision")}
    values = {name: float(metric(whole)[0]) for name, metric in metrics.items() if metric}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}


def _figure(caption: str, plot: Plot) -> str:
    return f"<figure><figcaption>{caption}</figcaption>{plot}</figure>"


def _square(about: str, x: str) -> Plot:
    plot = Plot((0, 1), (0, 1), about)
    plot.x_axis(HALVES, x)
    plot.y_axis(HALVES)
    return plot


def _roc(column: Column) -> Plot:
    plot = _square(f"ROC curve of {column.name}", "false positive rate")
    plot.line([(0, 0), (1, 1)], "chance")
    plot.line(measured.roc(column), "new")
    if column.threshold is not None:
        confusion = measured.confusion(column, column.threshold)
        if confusion.false_positive_rate is not None and confusion.recall is not None:
            plot.diamond(
                confusion.false_positive_rate,
                confusion.recall,
                "rival",
                5,
                f"at the threshold {number(column.threshold)}",
            )
    plot.note(0.98, 0.06, "true positive rate ↑", "tick end halo")
    return plot


def _precision_recall(column: Column) -> Plot:
    plot = _square(f"precision and recall of {column.name}", "recall")
    base = float(column.truth.mean())
    plot.line([(0, base), (1, base)], "chance")
    plot.line(measured.precision_recall(column), "new")
    if column.threshold is not None:
        confusion = measured.confusion(column, column.threshold)
        if confusion.recall is not None and confusion.precision is not None:
            plot.diamond(
                confusion.recall, confusion.precision, "rival", 5, f"at the threshold {number(column.threshold)}"
            )
    plot.note(0.02, 0.06, "precision ↑", "tick halo")
    return plot


def _calibration(column: Column, bins: list[measured.Bin]) -> Plot:
    plot = _square(f"calibration of {column.name}", "predicted")
    plot.line([(0, 0), (1, 1)], "chance")
    plot.line([(bucket.predicted, bucket.rate) for bucket in bins], "thin")
    for bucket in bins:
        plot.line([(bucket.predicted, bucket.low), (bucket.predicted, bucket.high)], "thin")
        about = f"predicted {share(bucket.predicted)}, true {share(bucket.rate)} of {count(bucket.rows, 'row')}"
        plot.dot(bucket.predicted, bucket.rate, "point", 4, about)
    plot.note(0.03, 0.9, "truly positive ↑", "tick halo")
    return plot


def _sweep(column: Column) -> Plot:
    plot = _square(f"precision and recall of {column.name} by threshold", "threshold")
    precision, recall = measured.precision_recall_by_threshold(column)
    plot.line(precision, "new")
    plot.line(recall, "second")
    if column.threshold is not None:
        plot.line([(column.threshold, 0), (column.threshold, 1)], "chance")
        confusion = measured.confusion(column, column.threshold)
        for value in (confusion.precision, confusion.recall):
            if value is not None:
                plot.diamond(column.threshold, value, "rival", 4.5, f"{share(value)} at {number(column.threshold)}")
    return plot


def _confusion(column: Column, threshold: float) -> str:
    confusion = measured.confusion(column, threshold)
    return f"""<figure class="counts"><figcaption>Rows at the threshold <b>{number(threshold)}</b></figcaption>
<table class="confusion"><thead><tr><th></th><th>predicted 1</th><th>predicted 0</th></tr></thead><tbody>
<tr><th>true 1</th><td class="right">{confusion.true_positives:,}<small>true positives</small></td>
<td>{confusion.false_negatives:,}<small>false negatives</small></td></tr>
<tr><th>true 0</th><td>{confusion.false_positives:,}<small>false positives</small></td>
<td class="right">{confusion.true_negatives:,}<small>true negatives</small></td></tr></tbody></table></figure>"""


def _number_summary(column: Column) -> str:
    errors = column.predicted - column.truth
    half, mean = float(np.median(np.abs(errors))), float(errors.mean())
    side = "high" if mean > 0 else "low"
    return (
        f"{count(len(errors), 'row')}. Half of the predictions are within <b>{number(half)}</b> of the truth; "
        f"on average they are {number(abs(mean))} too {side}."
    )


def _number_panels(column: Column) -> str:
    return _figure("Predicted against true", _scatter(column)) + _figure("Error: predicted − true", _errors(column))


def _scatter(column: Column, most: int = 400) -> Plot:
    low, high = (
        float(min(column.truth.min(), column.predicted.min())),
        float(max(column.truth.max(), column.predicted.max())),
    )
    plot = Plot((low, high), (low, high), f"{column.name}: predicted against true", 300, 240, left=50)
    marks = [(value, tick(value)) for value in ticks(low, high, 4)]
    plot.x_axis(marks, "true")
    plot.y_axis(marks)
    plot.line([(low, low), (high, high)], "chance")
    for true, predicted in zip(column.truth[:most].tolist(), column.predicted[:most].tolist(), strict=True):
        plot.dot(true, predicted, "spot", 2.5)
    return plot


def _errors(column: Column, bins: int = 20) -> Plot:
    errors = column.predicted - column.truth
    reach = float(np.quantile(np.abs(errors), 0.99)) or 1.0
    counts, edges = np.histogram(np.clip(errors, -reach, reach), bins, (-reach, reach))
    shares = counts / len(errors)
    plot = Plot((-reach, reach), (0, float(shares.max()) * 1.1), f"errors of {column.name}", 300, 240, left=46)
    plot.x_axis([(value, tick(value)) for value in ticks(-reach, reach, 4)], "error (the outer bins hold all beyond)")
    plot.y_axis([(value, f"{value:.0%}") for value in (0.0, float(shares.max()))])
    for low, high, part in zip(edges[:-1].tolist(), edges[1:].tolist(), shares.tolist(), strict=True):
        plot.bar(low, high, 0, part, "filled", f"{share(part)} of rows")
    plot.line([(0, 0), (0, float(shares.max()))], "zero")
    return plot
