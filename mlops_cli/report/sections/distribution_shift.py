"""The significant differences between two files profile.json.

It reads two forms under any name: ``splits`` with rows and label_rates, and histograms, whose names end with _histogram
(the lower edge and the count of each bin).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.monitoring.psi import SHIFTED, STABLE, population_stability_index
from mlops_cli.report.formatting import share, title

Table = Mapping[str, Any]
HISTOGRAM = "_histogram"
TRAIN = "train"
# A rate has changed if the difference is beyond noise and larger than this share of the rate.
RATE_SIGMAS, RATE_CHANGE = 4.0, 0.2


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def shifted_features(profile: Table, live: Table) -> list[str]:
    """Return each significant difference from the live model's data as HTML; () if that profile is unknown."""
    return [*_shape_drifts(profile, live), *_rate_drifts(profile, live)] if live else []


def _shape_drifts(profile: Table, live: Table) -> Iterator[str]:
    for name, counts in histograms(profile).items():
        before = histograms(live).get(name)
        index = population_stability_index(counts, before) if before else 0.0
        if index >= STABLE:
            words = "has another shape" if index >= SHIFTED else "has shifted"
            yield f"the distribution of {title(name)} {words} (stability index {index:.2f})"


def _rate_drifts(profile: Table, live: Table) -> Iterator[str]:
    before = rates(live, TRAIN)
    for label, rate in rates(profile, TRAIN).items():
        if has_moved(profile, live, label):
            yield f"{title(label)} {share(before[label])} → {share(rate)} positive"


def has_moved(profile: Table, live: Table, label: str) -> bool:
    """True if a label's frequency in the training rows has changed beyond noise."""
    rate, live_rate = (rates(table, TRAIN).get(label) for table in (profile, live))
    if rate is None or live_rate is None:
        return False
    n, m = (max(rows(table, TRAIN), 1.0) for table in (profile, live))
    pooled = (rate * n + live_rate * m) / (n + m)
    noise = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return abs(rate - live_rate) > max(RATE_SIGMAS * noise, RATE_CHANGE * max(rate, live_rate))


def histograms(profile: Table) -> dict[str, dict[float, float]]:
    """Return the histograms by name. Their keys are the lower edges of the bins."""
    named = {name.removesuffix(HISTOGRAM): value for name, value in profile.items() if name.endswith(HISTOGRAM)}
    counted = {name: _histogram(value) for name, value in named.items() if isinstance(value, dict)}
    return {name: counts for name, counts in counted.items() if counts}


def _histogram(value: Table) -> dict[float, float]:
    """Return a histogram; empty for another form."""
    try:
        return {float(edge): float(count) for edge, count in sorted(value.items(), key=lambda pair: float(pair[0]))}
    except (TypeError, ValueError):
        return {}


def split_names(profile: Table) -> list[str]:
    splits = profile.get("splits")
    return [name for name in splits if rates(profile, name)] if isinstance(splits, dict) else []


def rates(profile: Table, split: str) -> dict[str, float]:
    """Return each label's share of a split's rows."""
    label_rates = _split(profile, split).get("label_rates")
    pairs = label_rates.items() if isinstance(label_rates, dict) else ()
    return {str(name): float(rate) for name, rate in pairs if is_number(rate)}


def rows(profile: Table, split: str) -> float:
    count = _split(profile, split).get("rows", 0)
    return float(count) if is_number(count) else 0.0


def _split(profile: Table, name: str) -> Table:
    splits = profile.get("splits")
    values = splits.get(name) if isinstance(splits, dict) else None
    return values if isinstance(values, dict) else {}
