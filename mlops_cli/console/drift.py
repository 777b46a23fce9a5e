"""Drift as a table: one row for each feature, the result, and the next step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.console.formatting import number, short
from mlops_cli.monitoring.drift import Drift, DriftStatus

if TYPE_CHECKING:
    from mlops_cli.console.console import Console

STYLES = {
    DriftStatus.RETRAIN: "red",
    DriftStatus.WATCH: "yellow",
    DriftStatus.TOO_FEW: "dim",
    DriftStatus.NONE: "green",
}


def show_drift(console: Console, drift: Drift) -> None:
    if console.as_json:
        return
    from mlops_cli.console.cells import styled, table

    observed = drift.observed
    counts = observed.counts
    rows = f" ({counts.rows:,} rows)" if counts.rows != counts.requests else ""
    console.say(f"endpoint {observed.endpoint}, model {short(observed.model)}, sample {observed.sample:g}")
    console.say(f"last {observed.days} days: {counts.requests:,} requests measured{rows}")
    grid = table("mean of", "training", "requests", "stability index", "by chance up to", "result")
    for feature in drift.measures:
        chance = "-" if feature.noise is None else f"{feature.noise:.3f}"
        index = f"{feature.index:.3f}" if feature.rows else "-"
        status = styled(feature.status.value, STYLES[feature.status])
        grid.add_row(feature.name, number(feature.training), number(feature.requests), index, chance, status)
    console.show(grid)
    console.say(f"result: {drift.status.value}: {drift.reason}")
    if command := next_command(drift):
        console.next(command)


def next_command(drift: Drift) -> str:
    """Return the next command; "" if there is nothing to do."""
    if drift.status is DriftStatus.RETRAIN:
        return "mlops download-data --source NEW_DATA, then mlops run"
    if drift.status is DriftStatus.TOO_FEW and any(feature.needed is None for feature in drift.measures):
        return "measure more rows in train.py, then mlops run"
    if drift.status is DriftStatus.TOO_FEW:
        return f"mlops drift --days {max(drift.observed.days, 30)}, or a larger sample in usecase.toml"
    return (
        f"mlops drift --days {drift.observed.days}, again some days from now"
        if drift.status is DriftStatus.WATCH
        else ""
    )
