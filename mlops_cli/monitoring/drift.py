"""Drift of the requests from the training data, as far as their number allows a verdict. No IO."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from mlops_cli.monitoring.statistics import Histogram, Reference, RequestStatistics

# The probability that any feature is reported by chance.
RISK = 0.01
# With fewer rows per bin the noise is unknown (Cochran's rule of thumb).
ROWS_PER_BIN = 5
MOST_NAMED = 3


class DriftVerdict(str, Enum):
    RETRAIN = "retrain"
    WATCH = "watch"
    TOO_FEW = "too few requests"
    NONE = "no drift"


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: means, the stability index, and ``noise``, the level that chance alone does not exceed.

    ``needed``: the number of single requests from which a verdict is possible; None if the training has too few rows.
    """

    name: str
    training: float
    requests: float | None
    index: float
    noise: float | None
    rows: float
    needed: int | None
    verdict: DriftVerdict


@dataclass(frozen=True)
class Drift:
    """The verdict is the worst one of the features; ``why`` is its reason in a sentence."""

    observed: RequestStatistics
    measures: list[FeatureDrift] = field(default_factory=list)

    @property
    def verdict(self) -> DriftVerdict:
        return next(
            candidate for candidate in DriftVerdict if any(measured.verdict is candidate for measured in self.measures)
        )

    @property
    def why(self) -> str:
        grave = [measured for measured in self.measures if measured.verdict is self.verdict]
        if self.verdict is DriftVerdict.TOO_FEW:
            return _too_few(grave, self.observed.counts.requests)
        if self.verdict is DriftVerdict.NONE:
            return "the requests are like the rows that the model was tested on"
        grave.sort(key=lambda measured: -measured.index)
        most = grave[0]
        changed = "are not like" if self.verdict is DriftVerdict.RETRAIN else "begin to differ from"
        names = ", ".join(measured.name for measured in grave[:MOST_NAMED])
        names += f" and {len(grave) - MOST_NAMED} more" if len(grave) > MOST_NAMED else ""
        return (
            f"the requests {changed} what the model was tested on: {names} (stability index up to {most.index:.2f}, "
            f"by chance up to {most.noise or 0:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        observed = self.observed
        return {
            "verdict": self.verdict.value,
            "why": self.why,
            "endpoint": observed.endpoint,
            "model": observed.model,
            "sample": observed.sample,
            "days": observed.days,
            "requests": observed.counts.requests,
            "rows": observed.counts.rows,
            "measures": [{**asdict(feature), "verdict": feature.verdict.value} for feature in self.measures],
        }


def _too_few(measures: list[FeatureDrift], requests: int) -> str:
    needed = [measured.needed for measured in measures]
    if None in needed:
        return "the training has measured too few rows to tell drift from chance"
    most = max(rows or 0 for rows in needed)
    return f"{requests:,} requests were measured, and some {most:,} single ones are needed"


def compute_drift(observed: RequestStatistics) -> Drift:
    """Compare every feature of the training reference."""
    risk = RISK / max(1, len(observed.reference))
    counts = observed.counts
    return Drift(
        observed,
        [
            _feature_drift(name, reference, counts.measures.get(name, Histogram()), counts.independent, risk)
            for name, reference in observed.reference.items()
        ],
    )


def _feature_drift(
    name: str, reference: Reference, histogram: Histogram, independent: float, risk: float
) -> FeatureDrift:
    from mlops_cli.monitoring.psi import population_stability_index, psi_noise_level, rows_needed

    before = {float(bin_index): count for bin_index, count in enumerate(reference.counts)}
    current = {float(bin_index): count for bin_index, count in histogram.counts.items()}
    bins = sum(1 for bin_index in {*before, *current} if before.get(bin_index) or current.get(bin_index))
    rows = histogram.rows * independent
    chance = psi_noise_level(rows, reference.rows, bins, risk)
    enough = max(rows_needed(reference.rows, bins, risk), ROWS_PER_BIN * bins)
    index = population_stability_index(current, before)
    return FeatureDrift(
        name,
        reference.mean,
        histogram.total / histogram.rows if histogram.rows else None,
        index,
        chance if math.isfinite(chance) else None,
        rows,
        math.ceil(enough) if math.isfinite(enough) else None,
        _verdict(index, chance, rows, enough, bins),
    )


def _verdict(index: float, chance: float, rows: float, enough: float, bins: int) -> DriftVerdict:
    """Return the verdict: a large difference needs fewer rows than its absence."""
    from mlops_cli.monitoring.psi import SHIFTED, STABLE

    if rows >= ROWS_PER_BIN * bins and index > chance and index >= STABLE:
        return DriftVerdict.RETRAIN if index >= SHIFTED else DriftVerdict.WATCH
    return DriftVerdict.NONE if rows >= enough else DriftVerdict.TOO_FEW
