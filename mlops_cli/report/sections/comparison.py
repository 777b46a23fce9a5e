"""Champion against challenger: the difference in each row on the same test rows, with its noise."""

from __future__ import annotations

from mlops_cli.core.models.comparison import CONFIDENCE, Comparison, ComparisonResult, MetricDelta, describe_rows
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import escape, number, short, signed, title
from mlops_cli.report.svg import Plot, tick, ticks

WORDS = {
    ComparisonResult.BETTER: '<span class="good mark">▲ better</span>',
    ComparisonResult.WORSE: '<span class="bad mark">▼ worse</span>',
    ComparisonResult.LEVEL: '<span class="soft">= within noise</span>',
    ComparisonResult.UNKNOWN: '<span class="soft">too few rows</span>',
}
WIDTH, HEIGHT, EDGE = 240, 22, 14


def comparison(context: ReportContext) -> str:
    evidence, comparison = context.evidence, context.evidence.comparison
    if not evidence.has_champion:
        return ""
    about = f"The live model is {short(evidence.live_digest)} of run {escape(evidence.live_run)}."
    body = _table(comparison) if comparison and comparison.differences else f"<p>{escape(_why_not(comparison))}</p>"
    return f'<section id="live"><h2>Against the live model</h2><p>{about} {_method(comparison)}</p>{body}</section>'


def _why_not(comparison: Comparison | None) -> str:
    return f"Not compared: {comparison.problem}." if comparison else "Not compared."


def _method(comparison: Comparison | None) -> str:
    if comparison is None or not comparison.differences:
        return ""
    direction = "less is better" if comparison.lower_is_better else "more is better"
    if comparison.live_rows:
        return (
            f"The models on {escape(describe_rows(comparison))}. The bar contains {CONFIDENCE:.0%} of the differences "
            f"in {comparison.resamples:,} resamples of both ({direction}). It does not show if one model's rows are "
            "easier."
        )
    return (
        f"Both models on {escape(describe_rows(comparison))}. The bar contains {CONFIDENCE:.0%} of the differences in "
        f"{comparison.resamples:,} resamples of these rows, the same ones for both models ({direction}). It shows "
        "the uncertainty of the test rows, not that of the training's random seed."
    )


def _table(comparison: Comparison) -> str:
    span = _span(comparison)
    rows = "".join(_row(comparison, delta, span, delta is comparison.overall) for delta in comparison.differences)
    return f"""<div class="scroll"><table><thead><tr><th>{title(comparison.metric)}</th><th class="num">difference</th>
<th class="plot">{_scale(span)}</th><th></th><th class="num">this model</th><th class="num">live model</th>
<th class="num">{CONFIDENCE:.0%} between</th></tr></thead><tbody>{rows}</tbody></table></div>"""


def _span(comparison: Comparison) -> tuple[float, float]:
    """Return the range of the differences. It includes zero and some room on both sides."""
    values = [
        end for delta in comparison.differences for end in (delta.low, delta.high, delta.value) if end is not None
    ]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = (high - low) * 0.15 or 0.01
    return min(low, -room), max(high, room)


def _strip(span: tuple[float, float], about: str) -> Plot:
    return Plot(span, (0, 1), about, WIDTH, HEIGHT, EDGE, EDGE, 0, 0)


def _scale(span: tuple[float, float]) -> str:
    plot = _strip(span, "the scale of the plots below")
    for value in ticks(*span, most=4):
        plot.text(plot.at_x(value), HEIGHT - 6, ("+" if value > 0 else "") + tick(value), "tick middle")
    return str(plot)


def _row(comparison: Comparison, delta: MetricDelta, span: tuple[float, float], overall: bool) -> str:
    between = f"{signed(delta.low)} and {signed(delta.high)}" if delta.low is not None else "–"
    kind = ' class="all"' if overall else ""
    figures = "".join(f'<td class="num">{value}</td>' for value in (number(delta.new), number(delta.live), between))
    return (
        f'<tr{kind}><th scope="row">{title(delta.name)}</th><td class="num"><b>{signed(delta.value)}</b></td>'
        f'<td class="plot">{_plot(delta, span)}</td><td>{WORDS[comparison.result_for(delta)]}</td>{figures}</tr>'
    )


def _plot(delta: MetricDelta, span: tuple[float, float]) -> str:
    plot = _strip(span, f"{delta.name}: difference {signed(delta.value)}")
    plot.line([(0, 0), (0, 1)], "zero")
    if delta.low is not None and delta.high is not None:
        plot.whisker(delta.low, delta.high, 0.5, 0.22)
    if delta.value is not None:
        plot.dot(delta.value, 0.5, "point", 4.5, signed(delta.value))
    return str(plot)
