"""Prices of the simulated Price List API, and the messages without them."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_simulator.accounts import user
from mlops_cli.backends.aws.backend import AwsBackend
from mlops_cli.backends.base import CostScope
from mlops_cli.core.costs import Costs
from mlops_cli.project.state_dir import create_state_dir
from tests.component.aws.conftest import Scenario, scenario
from tests.component.aws.faults import faulty

__all__ = ["scenario"]


def endpoint(backend: AwsBackend) -> Costs:
    return backend.infra.costs(CostScope.ENDPOINT)


def unknown_reason(costs: Costs) -> list[str]:
    return [line.unknown_reason for line in costs.lines if line.price is None]


def test_the_endpoint_and_its_alarms_are_priced_where_they_stand(scenario: Scenario) -> None:
    regional = endpoint(scenario.backend())
    assert (regional.per_hour, regional.per_month, regional.unknown) == (0.115, 0.115 * 730 + 0.2, ())
    assert {price.published for price in regional.prices} == {"2026-11-20T17:21:33Z"}
    abroad = endpoint(scenario.backend(AWS_REGION="eu-west-1"))
    assert abroad.per_month == pytest.approx(regional.per_month * 1.1)


def test_a_price_is_asked_for_once_a_day(scenario: Scenario) -> None:
    create_state_dir(scenario.project)
    first = endpoint(scenario.backend())
    scenario.aws.control("price", usage="Host:ml.m5.large", amount="9")
    repeated = endpoint(scenario.backend())
    assert repeated == first, "the prices of a moment ago, with the time when they were asked for"
    file = scenario.project.state / "prices.json"
    file.write_text(file.read_text().replace('"read_at": 1', '"read_at": 0.1'))
    assert endpoint(scenario.backend()).per_hour == 9


def test_without_a_state_folder_nothing_is_written(scenario: Scenario) -> None:
    endpoint(scenario.backend())
    assert not scenario.project.state.exists()


def test_a_missing_price_is_no_other_one(scenario: Scenario) -> None:
    scenario.aws.control("price", usage="Host:ml.m5.large", amount="")
    result = endpoint(scenario.backend())
    assert unknown_reason(result) == ["AWS's price list has no price for Host:ml.m5.large here."]
    assert (result.per_hour, result.per_month) == (0, 0.2)


def test_a_denied_price_names_the_permission(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    asked_before = ["sts:GetCallerIdentity", "cloudformation:DescribeStacks"]
    keys = user(scenario.aws, "thrifty", {"Action": asked_before, "Resource": "*"})
    for name, value in keys.items():
        monkeypatch.setenv(name.upper(), value)
    reason = unknown_reason(endpoint(scenario.backend()))
    assert len(reason) == 2
    assert set(reason) == {"The user thrifty may not pricing:GetProducts."}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"error": {"code": "ThrottlingException", "status": 400}}, "throttled pricing:GetProducts"),
        ({"error": {"code": "InternalFailure", "status": 500}}, "AWS failed repeatedly at pricing:GetProducts"),
    ],
)
def test_trouble_with_the_price_list_is_reported(
    scenario: Scenario, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: dict[str, object], message: str
) -> None:
    (tmp_path / "proxy").mkdir()
    with faulty(scenario.aws, tmp_path / "proxy", ({"service": "pricing", "probability": 1.0, **rule},)) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        assert all(message in why for why in unknown_reason(endpoint(scenario.backend())))
        assert proxy.fired()


@pytest.mark.slow
def test_a_price_list_out_of_reach_is_reported(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_PRICING", "http://127.0.0.1:1")
    reason = unknown_reason(endpoint(scenario.backend()))
    assert len(reason) == 2
    assert all(why.startswith("AWS cannot be reached") for why in reason)
