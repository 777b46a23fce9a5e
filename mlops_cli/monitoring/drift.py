"""Drift between the requests and the training data, if the requests are enough for a conclusion. No IO."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from mlops_cli.monitoring.statistics import Histogram, Reference, RequestStatistics

# The probability that chance alone makes any feature be reported.
RISK = 0.01
# With fewer rows per bin the noise is unknown (Cochran's rule of thumb).
ROWS_PER_BIN = 5
MOST_NAMED = 3


class DriftStatus(str, Enum):
    RETRAIN = "retrain"
    WATCH = "watch"
    TOO_FEW = "too few requests"
    NONE = "no drift"


@dataclass(frozen=True)
class FeatureDrift:
    """One feature: its means, the stability index, and ``noise``, the highest index that chance alone explains.

    ``needed``: the number of single requests that a conclusion needs; None if the training has too few rows.
    """

    name: str
    training: float
    requests: float | None
    index: float
    noise: float | None
    rows: float
    needed: int | None
    status: DriftStatus


@dataclass(frozen=True)
class Drift:
    """The status is the worst one of the features. ``reason``: its reason in a sentence."""

    observed: RequestStatistics
    measures: list[FeatureDrift] = field(default_factory=list)

    @property
    def status(self) -> DriftStatus:
        return next(
            candidate for candidate in DriftStatus if any(measured.status is candidate for measured in self.measures)
        )

    @property
    def reason(self) -> str:
        grave = [measured for measured in self.measures if measured.status is self.status]
        if self.status is DriftStatus.TOO_FEW:
            return _too_few(grave, self.observed.counts.requests)
        if self.status is DriftStatus.NONE:
            return "the requests are similar to the test rows of the training"
        grave.sort(key=lambda measured: -measured.index)
        most = grave[0]
        changed = "differ from" if self.status is DriftStatus.RETRAIN else "begin to differ from"
        names = ", ".join(measured.name for measured in grave[:MOST_NAMED])
        names += f" and {len(grave) - MOST_NAMED} more" if len(grave) > MOST_NAMED else ""
        return (
            f"the requests {changed} the test rows of the training: {names} (stability index up to {most.index:.2f}, "
            f"by chance up to {most.noise or 0:.2f})"
        )

    def to_dict(self) -> dict[str, Any]:
        observed = self.observed
        return {
            "status": self.status.value,
            "reason": self.reason,
            "endpoint": observed.endpoint,
            "model": observed.model,
            "sample": observed.sample,
            "days": observed.days,
            "requests": observed.counts.requests,
            "rows": observed.counts.rows,
            "measures": [{**asdict(feature), "status": feature.status.value} for feature in self.measures],
        }


def _too_few(measures: list[FeatureDrift], requests: int) -> str:
    needed = [measured.needed for measured in measures]
    if None in needed:
        return "the training has measured too few rows to tell drift from chance"
    most = max(rows or 0 for rows in needed)
    return f"{requests:,} requests were measured, and about {most:,} requests of one row are needed"


def compute_drift(observed: RequestStatistics) -> Drift:
    """Compare every feature of the training reference with the requests."""
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
        _status(index, chance, rows, enough, bins),
    )


def _status(index: float, chance: float, rows: float, enough: float, bins: int) -> DriftStatus:
    """Return the status. To find a large difference takes fewer rows than to exclude one."""
    from mlops_cli.monitoring.psi import SHIFTED, STABLE

    if rows >= ROWS_PER_BIN * bins and index > chance and index >= STABLE:
        return DriftStatus.RETRAIN if index >= SHIFTED else DriftStatus.WATCH
    return DriftStatus.NONE if rows >= enough else DriftStatus.TOO_FEW
