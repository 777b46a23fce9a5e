"""The population stability index of two histograms, and its noise level."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist

# The usual interpretation: below the first value stable, above the second one shifted.
STABLE, SHIFTED = 0.1, 0.25
# Added to each bin's count, so that an empty bin is no infinite difference.
PRIOR = 0.5


def population_stability_index(current: Mapping[float, float], before: Mapping[float, float]) -> float:
    """Return the index for two histograms (a count for each bin): 0 for the same shape."""
    bins = [edge for edge in {*current, *before} if current.get(edge, 0) or before.get(edge, 0)]
    if not bins or not any(current.values()) or not any(before.values()):
        return 0.0
    totals = [sum(counts.values()) + PRIOR * len(bins) for counts in (current, before)]
    shares = [((current.get(edge, 0) + PRIOR) / totals[0], (before.get(edge, 0) + PRIOR) / totals[1]) for edge in bins]
    return sum((new - old) * math.log(new / old) for new, old in shares)


def psi_noise_level(rows: float, reference_rows: float, bins: int, risk: float) -> float:
    """Return the index that two samples of one distribution exceed with the probability ``risk``.

    The index is then distributed as (1/rows + 1/reference_rows) times chi-squared with bins - 1 degrees of freedom
    (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation
    14(4), 2020).
    """
    return (1 / rows + 1 / reference_rows) * chi_squared(bins - 1, risk) if rows and reference_rows else math.inf


def rows_needed(reference_rows: float, bins: int, risk: float) -> float:
    """Return the lowest number of rows with noise below STABLE; infinite if ``reference_rows`` are too few."""
    if not reference_rows:
        return math.inf
    if bins < 2:  # one bin: always equal
        return 0.0
    margin = STABLE / chi_squared(bins - 1, risk) - 1 / reference_rows
    return 1 / margin if margin > 0 else math.inf


def chi_squared(freedom: int, risk: float) -> float:
    """Return the value that chi-squared exceeds with probability ``risk`` (Wilson and Hilferty, 1931)."""
    if freedom < 1:
        return 0.0
    part = 2 / (9 * freedom)
    return float(freedom * (1 - part + NormalDist().inv_cdf(1 - risk) * math.sqrt(part)) ** 3)
