"""The drift of requests: distances, the part of chance, and the conclusion."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlops_cli.console.drift import next_command
from mlops_cli.errors import ConfigurationError
from mlops_cli.monitoring.drift import Drift, DriftStatus, compute_drift
from mlops_cli.monitoring.psi import (
    SHIFTED,
    STABLE,
    chi_squared,
    population_stability_index,
    psi_noise_level,
    rows_needed,
)
from mlops_cli.monitoring.statistics import (
    Counts,
    Histogram,
    Reference,
    RequestStatistics,
    parse_counts,
    parse_log_line,
    parse_references,
    recent_days,
)
from mlops_cli.project.usecase.reader import load_use_case
from tests.conftest import ROOT

PROBLEM, WRONG = "endpoint.sample must be a number from 0 (none) to 1 (all)", ("2", "-0.1", '"all"', "true", "nan")
EVEN = dict.fromkeys(range(10), 1000.0)


def observed(reference: Mapping[str, Reference], counts: Counts) -> RequestStatistics:
    return RequestStatistics("dev", "abc", 1.0, 7, reference, counts)


def even(rows: int = 10_000) -> Reference:
    """Return ten equally full bins of values from 0 to 1."""
    return Reference(0.5, tuple(n / 10 for n in range(1, 10)), (rows / 10,) * 10)


def drawn(seed: int, rows: int, draw: Callable[[random.Random], float] = random.Random.random) -> Counts:
    generator = random.Random(seed)
    values = [draw(generator) for _ in range(rows)]
    counts = Counter(min(int(value * 10), 9) for value in values)
    return Counts(rows, rows, rows, {"x": Histogram(sum(values), dict(counts))})


def found(counts: Counts, reference: Reference | None = None) -> Drift:
    return compute_drift(observed({"x": reference or even()}, counts))


def test_equal_shares_have_no_distance_for_any_number_of_rows() -> None:
    assert population_stability_index({n: 10.0 * count for n, count in EVEN.items()}, EVEN) == pytest.approx(
        0, abs=1e-4
    )
    assert population_stability_index({}, EVEN) == 0


def test_the_distance_is_the_population_stability_index() -> None:
    """Shares of 30/70 and 50/50: (0.3 - 0.5) ln(0.3 / 0.5) + (0.7 - 0.5) ln(0.7 / 0.5)."""
    index = population_stability_index({0: 30_000, 1: 70_000}, {0: 50_000, 1: 50_000})
    assert index == pytest.approx(-0.2 * math.log(0.6) + 0.2 * math.log(1.4), rel=1e-3)
    assert population_stability_index({0: 1, 1: 0}, {0: 0, 1: 1}) < math.inf


@pytest.mark.parametrize(
    ("freedom", "risk", "value"),
    [(1, 0.05, 3.841), (9, 0.05, 16.919), (9, 0.01, 21.666), (5, 0.001, 20.515), (30, 0.01, 50.892)],
)
def test_chi_squared_is_that_of_the_tables(freedom: int, risk: float, value: float) -> None:
    assert chi_squared(freedom, risk) == pytest.approx(value, rel=0.03)


def test_chance_exceeds_the_noise_as_often_as_the_risk_says() -> None:
    other_counts = {float(n): float(count) for n, count in drawn(0, 5000).measures["x"].counts.items()}
    bound = psi_noise_level(400, 5000, 10, 0.05)
    above = 0
    for seed in range(1, 1001):
        current = {float(n): count for n, count in drawn(seed, 400).measures["x"].counts.items()}
        above += population_stability_index(current, other_counts) > bound
    assert 25 <= above <= 85, "of 1,000 tries 50, give or take five standard deviations"


def test_from_the_needed_rows_on_chance_stays_under_the_band() -> None:
    needed = rows_needed(2000, 10, 0.001)
    assert psi_noise_level(needed, 2000, 10, 0.001) == pytest.approx(STABLE)
    assert rows_needed(100, 10, 0.001) == math.inf
    assert rows_needed(0, 10, 0.001) == math.inf


def test_requests_like_training_are_no_drift_in_any_of_many_tries() -> None:
    assert {found(drawn(seed, 3000)).status for seed in range(300)} == {DriftStatus.NONE}


def test_few_requests_are_always_too_few() -> None:
    statuses = Counter(found(drawn(seed, 60)).status for seed in range(300))
    assert statuses[DriftStatus.NONE] == 0
    assert statuses[DriftStatus.TOO_FEW] >= 295, "a false alarm at most as often as the risk allows"


def test_other_requests_call_for_a_training() -> None:
    drift = found(drawn(1, 2000, lambda generator: generator.random() ** 3))
    assert drift.status is DriftStatus.RETRAIN
    assert drift.measures[0].index > SHIFTED
    assert drift.reason.startswith("the requests differ from the test rows of the training: x (stability index up to ")
    assert next_command(drift).endswith("mlops run")


def test_a_great_difference_needs_fewer_requests_than_none_at_all() -> None:
    drift = found(drawn(1, 80, lambda _: 0.95))
    assert drift.status is DriftStatus.RETRAIN
    assert found(drawn(1, 20, lambda _: 0.95)).status is DriftStatus.TOO_FEW


def test_a_shift_is_watched() -> None:
    drift = found(drawn(1, 5000, lambda generator: generator.random() ** 1.5))
    assert drift.status is DriftStatus.WATCH
    assert STABLE <= drift.measures[0].index < SHIFTED
    assert "begin to differ" in drift.reason


def test_too_few_says_how_many_are_needed() -> None:
    drift = found(drawn(1, 100))
    needed = drift.measures[0].needed
    assert needed is not None
    assert found(drawn(1, needed)).status is not DriftStatus.TOO_FEW
    assert drift.reason == f"100 requests were measured, and about {needed:,} requests of one row are needed"
    assert found(Counts()).reason.startswith("0 requests were measured")


def test_a_training_that_has_measured_too_little_is_no_all_clear() -> None:
    drift = found(drawn(1, 100_000), even(rows=100))
    assert drift.status is DriftStatus.TOO_FEW
    assert drift.reason == "the training has measured too few rows to tell drift from chance"
    assert found(drawn(1, 1000), Reference(0.0, (), (0.0,))).status is DriftStatus.TOO_FEW


def test_the_rows_of_one_request_count_as_one_row() -> None:
    """A thousand texts of one client are similar, so they prove no drift."""
    alone = drawn(1, 1000, lambda _: 0.95)
    together = Counts(1, 1000, 1_000_000, alone.measures)
    assert (found(alone).status, found(together).status) == (DriftStatus.RETRAIN, DriftStatus.TOO_FEW)


def test_a_constant_feature_has_no_drift() -> None:
    constant = Reference(3.0, (3.0,), (0.0, 500.0))
    counts = Counts(400, 400, 400, {"x": Histogram(1200.0, {1: 400})})
    assert found(counts, constant).status is DriftStatus.NONE
    counts = Counts(400, 400, 400, {"x": Histogram(800.0, {0: 400})})
    assert found(counts, constant).status is DriftStatus.RETRAIN


def test_the_gravest_measurement_decides() -> None:
    reference = {"x": even(), "y": even()}
    counts = drawn(1, 3000)
    assert compute_drift(observed(reference, counts)).status is DriftStatus.TOO_FEW, "nothing is known of y"
    counts.measures["y"] = drawn(2, 3000, lambda _: 0.05).measures["x"]
    drift = compute_drift(observed(reference, counts))
    assert (drift.status, [measure.status for measure in drift.measures]) == (
        DriftStatus.RETRAIN,
        [DriftStatus.NONE, DriftStatus.RETRAIN],
    )
    assert "of the training: y (" in drift.reason


def test_many_measurements_do_not_make_chance_look_like_drift() -> None:
    reference = {f"x{n}": even(100_000) for n in range(50)}
    for seed in range(20):
        measures = {name: drawn(1000 * seed + n, 1000).measures["x"] for n, name in enumerate(reference)}
        drift = compute_drift(observed(reference, Counts(1000, 1000, 1000, measures)))
        assert drift.status in (DriftStatus.NONE, DriftStatus.TOO_FEW)


LINE = {"model": "abc", "requests": 2, "rows": 3, "squares": 5, "measures": {"x": {"sum": 1.5, "counts": {"0": 3}}}}


def test_a_line_of_counts_is_read_and_written_the_same() -> None:
    digest, counts = parse_log_line(f"2026-11-25 mlops-observed {json.dumps(LINE)}") or ("", Counts())
    assert (digest, counts) == ("abc", Counts(2, 3, 5, {"x": Histogram(1.5, {0: 3})}))
    assert parse_counts(counts.to_dict()) == counts


@pytest.mark.parametrize(
    "change",
    [
        {"requests": "a text"},
        {"requests": -1},
        {"rows": None},
        {"measures": ["x"]},
        {"measures": {"x": {"sum": "a text", "counts": {}}}},
        {"measures": {"x": {"sum": 1, "counts": {"a text": 1}}}},
        {"measures": {"x": {"sum": 1, "counts": {"0": "a text"}}}},
        {"measures": {"x": {"sum": 1, "counts": {"5000000": 1}}}},
        {"measures": {"x": {"sum": 1, "counts": {"0": -1}}}},
        {"measures": {"a text of some length, " * 9: {"sum": 1, "counts": {}}}},
        {"measures": {"line\nfeed": {"sum": 1, "counts": {}}}},
    ],
)
def test_log_lines_that_are_no_counts_are_ignored(change: dict[str, object]) -> None:
    assert parse_log_line(f"mlops-observed {json.dumps({**LINE, **change})}") is None


@pytest.mark.parametrize("line", ["", "mlops-observed", "mlops-observed {", "mlops-observed []", "another line"])
def test_another_line_is_not_one_of_counts(line: str) -> None:
    assert parse_log_line(line) is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "not json",
        '{"measures": {"x": {"mean": 0, "cuts": [1], "counts": [1]}}}',
        '{"measures": {"x": {"mean": 0, "cuts": [2, 1], "counts": [1, 1, 1]}}}',
        '{"measures": {"x": {"mean": NaN, "cuts": [], "counts": [1]}}}',
        '{"measures": {"x": {"mean": 0, "cuts": [], "counts": []}}}',
    ],
)
def test_a_reference_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_references(text)


@pytest.mark.parametrize(("value", "problem"), [("1", ""), ("0.25", ""), *((line, PROBLEM) for line in WRONG)])
def test_a_sample_is_a_share(tmp_path: Path, value: str, problem: str) -> None:
    (tmp_path / "training").mkdir()
    file = tmp_path / "training" / "usecase.toml"
    text = (ROOT / "training" / "usecase.toml").read_text()
    assert text.count("\nsample = 0\n") == 1
    file.write_text(text.replace("\nsample = 0\n", f"\nsample = {value}\n"))
    if not problem:
        assert load_use_case(file).sample == float(value)
        return
    with pytest.raises(ConfigurationError) as caught:
        load_use_case(file)
    assert problem in caught.value.message


def test_days_are_counted_back_from_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_709_251_200.0)  # 1 March 2024, 00:00 UTC
    assert recent_days(3) == ["2024-02-28", "2024-02-29", "2024-03-01"]
