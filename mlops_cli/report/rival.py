"""Champion against challenger: the difference of each row on the same test rows, with the noise in it."""

from __future__ import annotations

from mlops_cli.comparison import CONFIDENCE, Comparison, Difference, Standing, grounds
from mlops_cli.report.material import Material
from mlops_cli.report.svg import Plot, tick, ticks
from mlops_cli.report.wording import escape, number, short, signed, title

WORDS = {
    Standing.BETTER: '<span class="good mark">▲ better</span>',
    Standing.WORSE: '<span class="bad mark">▼ worse</span>',
    Standing.LEVEL: '<span class="soft">= within noise</span>',
    Standing.UNKNOWN: '<span class="soft">too few rows</span>',
}
WIDTH, HEIGHT, EDGE = 240, 22, 14


def rival(material: Material) -> str:
    evidence, found = material.evidence, material.evidence.comparison
    if not evidence.has_rival:
        return ""
    about = f"The live model is {short(evidence.live_digest)} of run {escape(evidence.live_run)}."
    body = _table(found) if found and found.differences else f"<p>{escape(_why_not(found))}</p>"
    return f'<section id="live"><h2>Against the live model</h2><p>{about} {_method(found)}</p>{body}</section>'


def _why_not(found: Comparison | None) -> str:
    return f"Not compared: {found.problem}." if found else "Not compared."


def _method(found: Comparison | None) -> str:
    if found is None or not found.differences:
        return ""
    direction = "less is better" if found.lower_is_better else "more is better"
    return (
        f"Both models on {escape(grounds(found))}. The bar holds {CONFIDENCE:.0%} of the differences in "
        f"{found.resamples:,} resamples of these rows, the same ones for both models ({direction}). It tells the noise "
        "of the test rows, not that of the training's random seed."
    )


def _table(found: Comparison) -> str:
    span = _span(found)
    rows = "".join(_row(found, one, span, one is found.overall) for one in found.differences)
    return f"""<div class="scroll"><table><thead><tr><th>{title(found.metric)}</th><th class="num">difference</th>
<th class="plot">{_scale(span)}</th><th></th><th class="num">this model</th><th class="num">live model</th>
<th class="num">{CONFIDENCE:.0%} between</th></tr></thead><tbody>{rows}</tbody></table></div>"""


def _span(found: Comparison) -> tuple[float, float]:
    """All of the differences, and zero with some room on both sides of it."""
    values = [end for one in found.differences for end in (one.low, one.high, one.value) if end is not None]
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


def _row(found: Comparison, one: Difference, span: tuple[float, float], overall: bool) -> str:
    between = f"{signed(one.low)} and {signed(one.high)}" if one.low is not None else "–"
    kind = ' class="all"' if overall else ""
    figures = "".join(f'<td class="num">{value}</td>' for value in (number(one.now), number(one.live), between))
    return (
        f'<tr{kind}><th scope="row">{title(one.name)}</th><td class="num"><b>{signed(one.value)}</b></td>'
        f'<td class="plot">{_plot(one, span)}</td><td>{WORDS[found.standing_of(one)]}</td>{figures}</tr>'
    )


def _plot(one: Difference, span: tuple[float, float]) -> str:
    plot = _strip(span, f"{one.name}: difference {signed(one.value)}")
    plot.line([(0, 0), (0, 1)], "zero")
    if one.low is not None and one.high is not None:
        plot.whisker(one.low, one.high, 0.5, 0.22)
    if one.value is not None:
        plot.dot(one.value, 0.5, "point", 4.5, signed(one.value))
    return str(plot)
