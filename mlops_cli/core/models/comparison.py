"""Champion and challenger: the comparison of a new model with the live one, as data and as text."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

CONFIDENCE = 0.95


class ComparisonResult(str, Enum):
    """The new model against the live one. Beyond noise: the whole interval is on one side of zero."""

    BETTER = "better"
    WORSE = "worse"
    LEVEL = "level"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class MetricDelta:
    """Both models' values in one row of metrics. ``low`` and ``high``: bounds of the new value minus the live one."""

    name: str
    new: float | None
    live: float | None
    low: float | None
    high: float | None

    @property
    def value(self) -> float | None:
        return None if self.new is None or self.live is None else self.new - self.live

    def result(self, lower_is_better: bool) -> ComparisonResult:
        if self.low is None or self.high is None:
            return ComparisonResult.UNKNOWN
        low, high = (-self.high, -self.low) if lower_is_better else (self.low, self.high)
        return ComparisonResult.BETTER if low > 0 else ComparisonResult.WORSE if high < 0 else ComparisonResult.LEVEL


@dataclass(frozen=True)
class Comparison:
    """The comparison of two models by one metric on the same rows. The last of several ``differences`` is the mean's.

    ``test_rows``: the number of test rows of the new model. ``rows``: the number of compared rows; for these there is a
    recorded prediction of the live model, or (``requested``) its endpoint has predicted them. ``trained_on``: the
    number of left-out rows that the live model was trained on; None if unknown. With ``live_rows``, each model was
    measured on its own test rows, the live one on this number. ``problem``: why there is no comparison.
    """

    metric: str
    rows: int = 0
    test_rows: int = 0
    requested: int = 0
    trained_on: int | None = None
    resamples: int = 0
    differences: tuple[MetricDelta, ...] = ()
    problem: str = ""
    lower_is_better: bool = False
    live_rows: int = 0

    @property
    def overall(self) -> MetricDelta | None:
        return self.differences[-1] if self.differences else None

    @property
    def result(self) -> ComparisonResult:
        return self.overall.result(self.lower_is_better) if self.overall else ComparisonResult.UNKNOWN

    @property
    def better(self) -> bool:
        """Return True if the new model beats the live one. On different rows this cannot be known."""
        return not self.live_rows and self.result is ComparisonResult.BETTER

    def result_for(self, difference: MetricDelta) -> ComparisonResult:
        return difference.result(self.lower_is_better)

    def to_dict(self) -> dict[str, Any]:
        differences = {
            delta.name: {**asdict(delta), "difference": delta.value, "result": self.result_for(delta).value}
            for delta in self.differences
        }
        return {**asdict(self), "differences": differences, "confidence": CONFIDENCE, "result": self.result.value}


def comparison_from(document: dict[str, Any]) -> Comparison:
    """Return the Comparison of a ``to_dict`` document."""
    names = ("name", "new", "live", "low", "high")
    differences = tuple(MetricDelta(*(row[name] for name in names)) for row in document["differences"].values())
    counts = ("rows", "test_rows", "requested", "trained_on", "resamples", "live_rows")
    plain = {name: document[name] for name in ("metric", *counts, "problem", "lower_is_better")}
    return Comparison(**plain, differences=differences)


def summarize(comparison: Comparison) -> str:
    """Return the overall result in one line."""
    if comparison.problem:
        return f"not compared: {comparison.problem}"
    delta = comparison.overall
    if delta is None or delta.value is None or delta.low is None or delta.high is None:
        return f"not compared: too few rows for {comparison.metric}"
    labels = {
        ComparisonResult.BETTER: "better",
        ComparisonResult.WORSE: "WORSE",
        ComparisonResult.LEVEL: "no difference beyond noise",
    }
    figures = f"{delta.name} {comparison.metric} {delta.new:.3f} against {delta.live:.3f}"
    rows = ", each on its own test rows" if comparison.live_rows else ""
    return f"{labels[comparison.result]}{rows}: {figures}, {delta.value:+.3f} ({delta.low:+.3f} to {delta.high:+.3f})"


def describe_rows(comparison: Comparison) -> str:
    """Return a description of the compared rows."""
    if comparison.live_rows:
        rows = f"other rows: {comparison.rows:,} test rows of this model, {comparison.live_rows:,} of the live one"
        unknown = "; whether it was trained on some of them is not known" if comparison.trained_on is None else ""
        return rows + unknown
    part = f"{comparison.rows:,} of " if comparison.rows < comparison.test_rows else "all "
    rows = f"{part}{comparison.test_rows:,} test rows"
    by_endpoint = f", {comparison.requested:,} of them predicted by the live endpoint" if comparison.requested else ""
    if comparison.trained_on is None:
        return f"{rows}{by_endpoint}; whether the live model was trained on some of them is not known"
    subject = "it" if comparison.requested else "the live model"
    left_out = f"; {subject} was trained on {comparison.trained_on:,} others" if comparison.trained_on else ""
    return f"{rows}{by_endpoint}{left_out}"
