"""The data profile: frequencies of labels, lengths of texts, and differences from the live model's data."""

from __future__ import annotations

from collections.abc import Mapping

from mlops_cli.data.metadata import describe_amount
from mlops_cli.monitoring.psi import population_stability_index
from mlops_cli.report.context import ReportContext
from mlops_cli.report.formatting import escape, number, share, title
from mlops_cli.report.sections.distribution_shift import (
    TRAIN,
    Table,
    has_moved,
    histograms,
    is_number,
    rates,
    rows,
    split_names,
)
from mlops_cli.report.svg import Plot, tick


def data(context: ReportContext) -> str:
    profile, live = context.profile, context.live_profile
    body = _rates(profile, live) + _histograms(profile, live) + _quantiles(profile, live) + _other_numbers(profile)
    if not body:
        return ""
    about = context.evidence.data
    source = f"<p>{escape(about.get('source', '?'))}, {describe_amount(about)}{_compared(context)}.</p>"
    return f'<section id="data"><h2>Data</h2>{source}{body}</section>'


def _compared(context: ReportContext) -> str:
    if not context.live_profile or not context.evidence.has_champion:
        return ""
    if context.live_profile == context.profile:
        return "; the live model was trained on the same data"
    return "; beside it, the training data of the live model"


def _rates(profile: Table, live: Table) -> str:
    """Return each label's frequency in each split, and in the live model's data."""
    names = split_names(profile)
    if not names:
        return ""
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name in names)
    heads += '<th class="num">live model: train</th>' if rates(live, TRAIN) else ""
    body = "".join(_rate_row(label, names, profile, live) for label in rates(profile, names[0]))
    head = f"<thead><tr><th>share of positives</th>{heads}</tr></thead>"
    return f'<div class="scroll"><table>{head}<tbody>{body}{_rows(names, profile, live)}</tbody></table></div>'


def _rate_row(label: str, names: list[str], profile: Table, live: Table) -> str:
    values = [share(rates(profile, name).get(label)) for name in names]
    if rates(live, TRAIN):
        moved = " <b>changed</b>" if has_moved(profile, live, label) else ""
        values.append(share(rates(live, TRAIN).get(label)) + moved)
    return f'<tr><th scope="row">{title(label)}</th>{_cells(values)}</tr>'


def _rows(names: list[str], profile: Table, live: Table) -> str:
    values = [f"{rows(profile, name):,.0f}" for name in names]
    before = [f"{rows(live, TRAIN):,.0f}"] if rates(live, TRAIN) else []
    return f'<tr class="all"><th scope="row">rows</th>{_cells([*values, *before])}</tr>'


def _cells(values: list[str]) -> str:
    return "".join(f'<td class="num">{value}</td>' for value in values)


def _histograms(profile: Table, live: Table) -> str:
    before = histograms(live)
    figures = "".join(_histogram(name, counts, before.get(name)) for name, counts in histograms(profile).items())
    return f'<div class="wide">{figures}</div>' if figures else ""


def _histogram(name: str, counts: Mapping[float, float], before: Mapping[float, float] | None) -> str:
    """Return shares of rows as bars, and those of the live model's data as an outline."""
    edges = sorted({*counts, *(before or {})})
    current, old = _shares(edges, counts), _shares(edges, before or {})
    most = max(*current, *old, 0.01)
    plot = Plot((0, len(edges)), (0, most * 1.1), f"distribution of {name}", 420, 190, left=46)
    plot.y_axis([(value, f"{value:.0%}") for value in (0, most / 2, most)])
    for position, part in enumerate(current):
        plot.bar(position + 0.08, position + 0.92, 0, part, "filled", f"{share(part)} of rows from {edges[position]:g}")
    if before:
        plot.line(
            [point for position, part in enumerate(old) for point in ((position, part), (position + 1, part))],
            "outline",
        )
    for position in range(0, len(edges), max(1, len(edges) // 8)):
        plot.note(position + 0.08, 0, tick(edges[position]), "tick below")
    plot.text((plot.left + plot.width - plot.right) / 2, plot.height - 4, f"{name}, from … on", "axis middle")
    also = (
        f"outline: the live model's data, stability index {population_stability_index(counts, before):.2f}"
        if before
        else ""
    )
    return f"<figure><figcaption>Share of rows by {title(name)} <b>{also}</b></figcaption>{plot}</figure>"


def _shares(edges: list[float], counts: Mapping[float, float]) -> list[float]:
    total = sum(counts.values()) or 1
    return [counts.get(edge, 0.0) / total for edge in edges]


def _quantiles(profile: Table, live: Table) -> str:
    quantiles = {name: value for name, value in profile.items() if isinstance(value, dict) and "median" in value}
    if not quantiles:
        return ""
    names = [str(name) for name in next(iter(quantiles.values()))]
    heads = "".join(f'<th class="num">{escape(name)}</th>' for name in names)
    body = ""
    for name, value in quantiles.items():
        live_value = live.get(name)
        body += _quantile_row(title(name), value, names)
        if isinstance(live_value, dict) and live_value != value:
            body += _quantile_row(f'<span class="soft">{title(name)}, live model</span>', live_value, names)
    return f'<div class="scroll"><table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _quantile_row(name: str, value: Table, names: list[str]) -> str:
    return f'<tr><th scope="row">{name}</th>{_cells([number(value.get(quantile)) for quantile in names])}</tr>'


def _other_numbers(profile: Table) -> str:
    """Return single numbers, for example the number of dropped rows."""
    numbers = {name: value for name, value in profile.items() if is_number(value)}
    body = "".join(f"<tr><th>{title(name)}</th><td>{number(value)}</td></tr>" for name, value in numbers.items())
    return f'<table class="properties"><tbody>{body}</tbody></table>' if body else ""
