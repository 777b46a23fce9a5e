"""Whether the requests are still like what the model was tested on, as far as their number can tell. No IO."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from mlops_cli.observations import Histogram, Observed, Reference

# With which probability any of the measurements may look different by chance.
RISK = 0.01
# With fewer rows a bin is too empty for the noise to be known (Cochran's rule of thumb).
ROWS_PER_BIN = 5
MOST_NAMED = 3


class Verdict(str, Enum):
    RETRAIN = "retrain"
    WATCH = "watch"
    TOO_FEW = "too few requests"
    NONE = "no drift"


@dataclass(frozen=True)
class Measured:
    """One measurement: means, the stability index, and ``noise``, which chance alone does not exceed.

    ``needed`` is from how many single requests on a verdict can be given; None if the training has too few rows.
    """

    name: str
    training: float
    requests: float | None
    index: float
    noise: float | None
    rows: float
    needed: int | None
    verdict: Verdict


@dataclass(frozen=True)
class Drift:
    """The verdict is the gravest of all measurements' ones, ``why`` says in a sentence what it rests on."""

    observed: Observed
    measures: list[Measured] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        return next(one for one in Verdict if any(measured.verdict is one for measured in self.measures))

    @property
    def why(self) -> str:
        grave = [measured for measured in self.measures if measured.verdict is self.verdict]
        if self.verdict is Verdict.TOO_FEW:
            return _too_few(grave, self.observed.counts.requests)
        if self.verdict is Verdict.NONE:
            return "the requests are like the rows that the model was tested on"
        grave.sort(key=lambda measured: -measured.index)
        most = grave[0]
        changed = "are not like" if self.verdict is Verdict.RETRAIN else "begin to differ from"
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
            "measures": [{**asdict(one), "verdict": one.verdict.value} for one in self.measures],
        }


def _too_few(measures: list[Measured], requests: int) -> str:
    needed = [measured.needed for measured in measures]
    if None in needed:
        return "the training has measured too few rows to tell drift from chance"
    return f"{requests:,} requests were measured, and some {max(one or 0 for one in needed):,} single ones are needed"


def judge(observed: Observed) -> Drift:
    """Compare every measurement that the training has made."""
    risk = RISK / max(1, len(observed.reference))
    counts = observed.counts
    return Drift(
        observed,
        [
            _measured(name, reference, counts.measures.get(name, Histogram()), counts.independent, risk)
            for name, reference in observed.reference.items()
        ],
    )


def _measured(name: str, reference: Reference, found: Histogram, independent: float, risk: float) -> Measured:
    from mlops_cli.measures.stability import noise, rows_needed, stability

    before = {float(place): count for place, count in enumerate(reference.counts)}
    now = {float(place): count for place, count in found.counts.items()}
    bins = sum(1 for place in {*before, *now} if before.get(place) or now.get(place))
    rows = found.rows * independent
    chance = noise(rows, reference.rows, bins, risk)
    enough = max(rows_needed(reference.rows, bins, risk), ROWS_PER_BIN * bins)
    index = stability(now, before)
    return Measured(
        name,
        reference.mean,
        found.total / found.rows if found.rows else None,
        index,
        chance if math.isfinite(chance) else None,
        rows,
        math.ceil(enough) if math.isfinite(enough) else None,
        _verdict(index, chance, rows, enough, bins),
    )


def _verdict(index: float, chance: float, rows: float, enough: float, bins: int) -> Verdict:
    """A great difference shows in fewer rows than it takes to say that there is none."""
    from mlops_cli.measures.stability import SHIFTED, STABLE

    if rows >= ROWS_PER_BIN * bins and index > chance and index >= STABLE:
        return Verdict.RETRAIN if index >= SHIFTED else Verdict.WATCH
    return Verdict.NONE if rows >= enough else Verdict.TOO_FEW
