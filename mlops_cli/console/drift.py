"""Drift for a person: one row for each measurement, the verdict, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.console.words import number, short
from mlops_cli.drift import Drift, Verdict

if TYPE_CHECKING:
    from mlops_cli.console.console import Console

STYLES = {Verdict.RETRAIN: "red", Verdict.WATCH: "yellow", Verdict.TOO_FEW: "dim", Verdict.NONE: "green"}


def show_drift(console: Console, drift: Drift) -> None:
    if console.as_json:
        return
    from rich.markup import escape

    from mlops_cli.console.tables import table

    observed = drift.observed
    counts = observed.counts
    rows = f" ({counts.rows:,} rows)" if counts.rows != counts.requests else ""
    console.say(f"endpoint {observed.endpoint}, model {short(observed.model)}, sample {observed.sample:g}")
    console.say(f"last {observed.days} days: {counts.requests:,} requests measured{rows}")
    made = table("mean of", "training", "requests", "stability index", "by chance up to", "verdict")
    for one in drift.measures:
        chance = "-" if one.noise is None else f"{one.noise:.3f}"
        index = f"{one.index:.3f}" if one.rows else "-"
        verdict = f"[{STYLES[one.verdict]}]{one.verdict.value}[/]"
        made.add_row(escape(one.name), number(one.training), number(one.requests), index, chance, verdict)
    console.show(made)
    console.say(f"verdict: {drift.verdict.value}: {drift.why}")
    if command := next_command(drift):
        console.next(command)


def next_command(drift: Drift) -> str:
    """Empty when there is nothing to do."""
    if drift.verdict is Verdict.RETRAIN:
        return "mlops download-data --source NEW_DATA, then mlops run"
    if drift.verdict is Verdict.TOO_FEW and any(one.needed is None for one in drift.measures):
        return "measure more rows in training/train.py, then mlops run"
    if drift.verdict is Verdict.TOO_FEW:
        return f"mlops drift --days {max(drift.observed.days, 30)}, or a larger sample in training/usecase.toml"
    return (
        f"mlops drift --days {drift.observed.days}, again some days from now" if drift.verdict is Verdict.WATCH else ""
    )
