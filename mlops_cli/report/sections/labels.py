"""Every row of the metrics: its value with the noise, its limit, and the live model's value."""

from __future__ import annotations

from mlops_cli.core.models.comparison import CONFIDENCE
from mlops_cli.core.models.evidence import Evidence
from mlops_cli.core.models.metric_bounds import MACRO
from mlops_cli.core.models.metric_rows import MetricRow
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import escape, number, title
from mlops_cli.report.svg import Plot, tick, ticks

WIDTH, HEIGHT, EDGE = 240, 22, 12


def labels(context: ReportContext) -> str:
    evidence = context.evidence
    if not evidence.rows:
        return ""
    other_metrics = sorted(name for name in evidence.metric_names if name != evidence.primary)
    values = _champion_values(evidence)
    span = _span(context, values)
    heads = "".join(f'<th class="num">{title(name)}</th>' for name in other_metrics)
    rows = "".join(_row(row, context, values, span, other_metrics) for row in evidence.rows)
    return f"""<section id="labels"><h2>Quality, row by row</h2>
<p class="soft">{_legend(context, bool(values))}</p>
<div class="scroll"><table><thead><tr><th>{escape(evidence.split)}</th><th class="num">{title(evidence.primary)}</th>
<th class="plot">{_scale(span)}</th><th>metric limit</th>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div></section>"""


def _legend(context: ReportContext, champion: bool) -> str:
    parts = ["● this model"]
    if context.intervals:
        parts.append(f"its bar: where {CONFIDENCE:.0%} of {_resamples()} resamples of the test rows lie")
    if champion:
        parts.append("◇ the live model on the same rows")
    words = {side: None for row in context.evidence.rows for side in row.limits(context.evidence.primary)}
    if words:
        parts.append(f"┆ the {' or '.join(words)}")
    return " &nbsp; ".join(parts)


def _resamples() -> str:
    from mlops_cli.evaluation.bootstrap import RESAMPLES

    return f"{RESAMPLES:,}"


def _champion_values(evidence: Evidence) -> dict[str, float]:
    """Return the live model's value of each row, unless it was measured on other or fewer rows."""
    comparison = evidence.comparison
    if (
        comparison is None
        or not evidence.has_champion
        or comparison.live_rows
        or comparison.rows < comparison.test_rows
    ):
        return {}
    return {delta.name: delta.live for delta in comparison.differences if delta.live is not None}


def _span(context: ReportContext, champion: dict[str, float]) -> tuple[float, float]:
    """Return the range of all drawn values, at least up to 1."""
    primary = context.evidence.primary
    rows = context.evidence.rows
    limits = [limit for row in rows for limit in row.limits(primary).values()]
    shown = [*(row.metrics.get(primary) for row in rows), *limits]
    ends = [end for interval in context.intervals.values() for end in interval]
    drawn = (*shown, *champion.values(), *ends)
    values = [value for value in drawn if value is not None and value == value] or [0.0, 1.0]
    low, high = min(values), max(values)
    margin = (high - low) * 0.06 or abs(high) * 0.1 or 0.05
    bounded = low >= 0 and high <= 1
    return (max(0.0, low - margin), 1.0) if bounded else (low - margin, high + margin)


def _scale(span: tuple[float, float]) -> str:
    plot = _strip(span, "the scale of the plots below")
    for value in ticks(*span, most=4):
        plot.text(plot.at_x(value), HEIGHT - 6, tick(value), "tick middle")
    return str(plot)


def _strip(span: tuple[float, float], about: str) -> Plot:
    return Plot(span, (0, 1), about, WIDTH, HEIGHT, EDGE, EDGE, 0, 0)


def _row(
    row: MetricRow,
    context: ReportContext,
    champion: dict[str, float],
    span: tuple[float, float],
    other_metrics: list[str],
) -> str:
    primary = context.evidence.primary
    value, limits = row.metrics.get(primary), row.limits(primary)
    cells = "".join(_cell(name, _plain(row, name)) for name in other_metrics)
    plot = _range_plot(row.name, value, limits, context.intervals.get(row.name), champion.get(row.name), span)
    kind = ' class="all"' if row.name == MACRO else ""
    return (
        f'<tr{kind}><th scope="row">{title(row.name)}</th>{_cell(primary, f"<b>{_value(row, primary)}</b>")}'
        f'<td class="plot">{plot}</td>{_cell("limit", _limits(row, primary))}{cells}</tr>'
    )


def _cell(name: str, content: str) -> str:
    """Return a cell that also contains its column's name: a phone is too narrow for columns (see style.css)."""
    return f'<td class="num" data-name="{escape(name)}">{content}</td>' if content else '<td class="num"></td>'


def _value(row: MetricRow, name: str) -> str:
    """Return a metric's value; if it is not a number, the script's own text."""
    return escape(row.not_numbers[name]) if name in row.not_numbers else number(row.metrics.get(name))


def _plain(row: MetricRow, name: str) -> str:
    """Return one of the other metrics, with a mark and a word if it violates its limit."""
    if name not in row.metrics and name not in row.violations:
        return ""
    violation = row.violations.get(name)
    return _value(row, name) + (f' <span class="bad mark">✗ {violation}</span>' if violation else "")


def _limits(row: MetricRow, primary: str) -> str:
    """Return the limits of the primary metric: those that it violates, or all if it violates none."""
    limits = row.limits(primary)
    if not limits:
        return '<span class="soft">none</span>'
    violation = row.violations.get(primary)
    violated = {"under": "minimum", "over": "maximum"}.get(violation or "", "")
    shown = [limits[violated]] if violated else limits.values()
    mark = f'<span class="bad mark">✗ {violation}</span>' if violation else '<span class="good mark">✓</span>'
    return f"{mark} {' to '.join(map(number, shown))}"


def _range_plot(
    name: str,
    value: float | None,
    limits: dict[str, float],
    interval: tuple[float, float] | None,
    champion: float | None,
    span: tuple[float, float],
) -> str:
    about = ", ".join(f"{side} {number(limit)}" for side, limit in limits.items()) or "no limit"
    plot = _strip(span, f"{name}: {number(value)}, {about}, live model {number(champion)}")
    plot.line([(span[0], 0.5), (span[1], 0.5)], "grid")
    for limit in limits.values():
        plot.line([(limit, 0.02), (limit, 0.98)], "limit")
    if interval:
        plot.whisker(*interval, 0.5, 0.22)
    if value is not None and value == value:
        plot.dot(value, 0.5, "point", 4.5, f"{name} {number(value)}")
    if champion is not None:
        plot.diamond(champion, 0.5, "rival", 5, f"live model {number(champion)}")
    return str(plot)
