"""Sums, limits and texts of costs, and the selection of a price in AWS's price list."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution
from mlops_cli.backends.aws.clients.pricing import Cache, Product, quote
from mlops_cli.backends.aws.runs.build_limit import DECISION_MINUTES, SHORTEST_MINUTES
from mlops_cli.backends.aws.runs.cost_estimate import (
    DEPLOY_LIMIT_MINUTES,
    ActionDuration,
    Estimate,
    endpoint_items,
    recent_durations,
)
from mlops_cli.core.costs import HOURS_PER_MONTH, CostItem, Costs, Limits, Price, Unit, money
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.core.stages import STAGES
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import create_state_dir
from mlops_cli.project.usecase.instances import TRIAL_MINUTES, EndpointConfig, InstanceSettings, JobInstances
from tests.conftest import ROOT
from tests.templates.template import Loader

HOURLY = Price(0.5, Unit.HOUR, "2026-11-20T00:00:00Z", 1000.0)
TRAIN = Product("AmazonSageMaker", "Train:ml.m5.xlarge", Unit.HOUR)


def job(hours: float, price: Price | None = HOURLY) -> CostItem:
    return CostItem("a job", hours, Unit.HOUR, price)


def endpoint(count: int, most: int = 0, price: Price | None = HOURLY) -> CostItem:
    return CostItem("endpoint", count, Unit.HOUR, price, is_recurring=True, most=most)


def test_a_job_costs_per_run_and_an_endpoint_as_long_as_it_stands() -> None:
    costs = Costs((job(0.5), endpoint(2)))
    assert (costs.per_run, costs.per_hour, costs.per_month) == (0.25, 1.0, 730.0)
    assert (job(1).per_hour, job(1).per_month, endpoint(1).per_run) == (None, None, None)


def test_a_scaled_endpoint_has_a_lowest_and_a_highest_cost() -> None:
    costs = Costs((endpoint(1, most=4),))
    assert (costs.per_hour, costs.most_per_hour) == (0.5, 2.0)
    assert (costs.per_month, costs.most_per_month) == (365.0, 1460.0)


def test_a_monthly_price_has_no_hourly_price() -> None:
    alarms = CostItem("alarms", 2, Unit.MONTH, Price(0.1, Unit.MONTH, "", 0), is_recurring=True)
    assert (alarms.per_hour, alarms.per_month) == (None, 0.2)


def test_without_a_price_there_is_no_amount_and_the_sum_says_that_it_lacks_one() -> None:
    costs = Costs((job(1, None), job(1)))
    assert (costs.per_run, [line.resource for line in costs.unknown]) == (0.5, ["a job"])
    assert costs.lines[0].per_run is None
    assert endpoint(1, 3, None).most_per_month is None


@pytest.mark.parametrize("seed", range(50))
def test_sums_are_those_of_their_lines_in_any_order(seed: int) -> None:
    dice = random.Random(seed)
    lines = [
        CostItem(
            "x",
            dice.choice([0.0, 1e-9, dice.random(), dice.randint(1, 10**6)]),
            Unit.HOUR,
            dice.choice([None, Price(dice.random() * 10 ** dice.randint(-6, 3), Unit.HOUR, "", 0)]),
            is_recurring=dice.random() < 0.5,
            most=dice.randint(0, 5),
        )
        for _ in range(dice.randint(0, 12))
    ]
    costs = Costs(tuple(lines))
    assert costs.per_month <= costs.most_per_month
    assert costs.per_hour * HOURS_PER_MONTH == pytest.approx(costs.per_month, rel=1e-6, abs=0.01)
    dice.shuffle(lines)
    repeated = Costs(tuple(lines))
    assert (repeated.per_run, repeated.per_hour, repeated.most_per_month) == (
        costs.per_run,
        costs.per_hour,
        costs.most_per_month,
    )


def test_three_times_ten_cents_are_not_above_thirty() -> None:
    tenth = Price(0.1, Unit.HOUR, "", 0)
    costs = Costs((job(1, tenth), job(1, tenth), job(1, tenth)))
    assert Limits({"MAX_RUN_COST": 0.3}).exceeded_limits(costs) == []
    (message,) = Limits({"MAX_RUN_COST": 0.29}).exceeded_limits(costs)
    assert message == "this run may cost $0.30, more than MAX_RUN_COST of $0.29"


def test_the_monthly_limit_applies_to_the_highest_cost_and_may_be_zero() -> None:
    limits = Limits({"MAX_MONTHLY_COST": 400})
    assert limits.exceeded_limits(Costs((endpoint(1),))) == []
    assert "$730.00 a month" in limits.exceeded_limits(Costs((endpoint(1, most=2),)))[0]
    assert len(Limits({"MAX_RUN_COST": 0, "MAX_MONTHLY_COST": 0}).exceeded_limits(Costs((job(1), endpoint(1))))) == 2


def test_a_limit_is_in_doubt_only_where_a_price_is_missing() -> None:
    limits = Limits({"MAX_RUN_COST": 5, "MAX_MONTHLY_COST": 5})
    assert limits.limits_not_checkable(Costs((job(1, None), endpoint(1)))) == ["MAX_RUN_COST"]
    assert limits.limits_not_checkable(Costs((endpoint(1, price=None),))) == ["MAX_MONTHLY_COST"]
    assert Limits().limits_not_checkable(Costs((job(1, None),))) == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (0.00001, "under $0.0001"),
        (0.00005, "$0.0001"),
        (0.002, "$0.002"),
        (0.115, "$0.115"),
        (0.2, "$0.20"),
        (9.99999, "$10.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money(amount: float, text: str) -> None:
    assert money(amount) == text


def listed(usage: str, amount: str, unit: str = "Hrs", **more: Any) -> dict[str, Any]:
    """Return a product in the form of the price list, without the parts that are not read."""
    dimension = {"unit": unit, "beginRange": "0", "pricePerUnit": {"USD": amount}, **more}
    return {
        "product": {"attributes": {"usagetype": usage}},
        "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        "publicationDate": "2026-11-20T00:00:00Z",
    }


@pytest.mark.parametrize("usage", ["USE1-Train:ml.m5.xlarge", "EU-Train:ml.m5.xlarge", "Train:ml.m5.xlarge"])
def test_the_price_of_a_usage_type_in_any_region(usage: str) -> None:
    price = quote(TRAIN, [listed(usage, "0.2300000000")], 5.0)
    assert price.price == Price(0.23, Unit.HOUR, "2026-11-20T00:00:00Z", 5.0)


@pytest.mark.parametrize(
    ("products", "message"),
    [
        ([], "no price for Train:ml.m5.xlarge"),
        ([listed("USE1-Train:ml.m5.xlarge-warm", "1")], "no price"),
        ([listed("USE1-AsyncTrain:ml.m5.xlarge", "1")], "no price"),
        ([listed("USE1-Train:ml.m5.xlarge", "1", unit="GB-Mo")], "no price"),
        ([listed("USE1-Train:ml.m5.xlarge", "1", pricePerUnit={"CNY": "1"})], "no price"),
        ([listed("USE1-Train:ml.m5.xlarge", "1", beginRange="100")], "no price"),
        ([listed("USE1-Train:ml.m5.xlarge", "1"), listed("USE1-Train:ml.m5.xlarge", "2")], "several prices"),
    ],
)
def test_none_or_several_prices_are_no_price(products: list[dict[str, Any]], message: str) -> None:
    answer = quote(TRAIN, products, 5.0)
    assert answer.price is None
    assert message in answer.unknown_reason


def machines() -> InstanceSettings:
    return InstanceSettings(
        {
            "preprocess": JobInstances(max_runtime_minutes=30),
            "train": JobInstances("ml.g5.xlarge", 2, max_runtime_minutes=90),
        },
        EndpointConfig(max_instances=3),
    )


def test_without_an_earlier_run_a_run_takes_as_long_as_it_may() -> None:
    preprocess, train, trial, build, actions = Estimate(machines(), SHORTEST_MINUTES).run({})
    assert (preprocess.product.usage, preprocess.quantity) == ("Processing:ml.m5.xlarge", 0.5)
    assert (train.product.usage, train.quantity, train.note) == (
        "Train:ml.g5.xlarge",
        3.0,
        "at most: max_runtime_minutes",
    )
    assert (trial.resource, trial.product.usage, trial.quantity) == (
        "trial: ml.m5.xlarge",
        "Processing:ml.m5.xlarge",
        0.5,
    )
    assert build.quantity == 4 * SHORTEST_MINUTES + 3 * DECISION_MINUTES
    assert actions.quantity == 7 * SHORTEST_MINUTES + 30 + 90 + TRIAL_MINUTES + 2 * DEPLOY_LIMIT_MINUTES + 2
    assert (build.resource, actions.resource) == ("7 builds, general1.small", "13 pipeline actions")


def test_a_stage_is_expected_to_take_as_long_as_last_time() -> None:
    earlier = {("train", "job"): ActionDuration(360, "r1"), ("train", "command"): ActionDuration(61, "r1")}
    _, train, build, actions = Estimate(machines().trained_on("ml.m5.large"), SHORTEST_MINUTES).run(earlier)
    assert (train.product.usage, train.quantity, train.note) == ("Train:ml.m5.large", 0.2, "duration of run r1")
    assert build.quantity == 6 * SHORTEST_MINUTES + 2
    assert build.note == "at most: time limits, and duration of run r1"
    assert actions.quantity == 6 * SHORTEST_MINUTES + 2 + 30 + 6 + 2 * DEPLOY_LIMIT_MINUTES + 2


class Past:
    """Two runs: the newest one has reused the preprocessing, the one before it has not finished the training."""

    def executions(self) -> list[Execution]:
        return [Execution("new", "Succeeded", 0.0), Execution("old", "Stopped", 0.0), Execution("other", "Failed", 0.0)]

    def actions(self, execution_id: str) -> list[ActionRun]:
        seconds = {"new": {"preprocess": 1, "train": 70, "approval": 30}, "old": {"preprocess": 200, "train": 300}}
        return [
            ActionRun(stage, name, "Failed" if name == "command" and stage == "train" else "Succeeded", 0.0, took)
            for stage, took in seconds.get(execution_id, {}).items()
            for name in ("command", "job" if stage != "approval" else "decision")
        ]

    def load(self, execution_id: str) -> Run | None:
        run = new_run(execution_id, {})
        if execution_id == "new":
            run.stage("preprocess").status = Status.REUSED
        return None if execution_id == "other" else run


def test_how_long_it_took_is_taken_from_the_run_that_has_really_done_it() -> None:
    durations = recent_durations(Past(), Past())  # type: ignore[arg-type]
    assert durations == {
        ("preprocess", "command"): ActionDuration(200, "old"),
        ("preprocess", "job"): ActionDuration(200, "old"),
        ("train", "job"): ActionDuration(70, "new"),
        ("approval", "command"): ActionDuration(30, "new"),
    }


def test_a_run_from_a_later_stage_on_has_no_jobs_before_it_but_every_step() -> None:
    items = Estimate(machines(), SHORTEST_MINUTES).run({}, "approval")
    assert [item.product.usage for item in items] == ["Build-Min:Linux:g1.small", "actionExecutionMinute"]
    assert items[0].quantity == (len(STAGES) + 1) * SHORTEST_MINUTES, "and the one that decides after the last gate"


def test_spot_is_the_on_demand_price_as_an_upper_bound() -> None:
    spot = InstanceSettings({"train": JobInstances(spot=True)})
    assert "spot: the on-demand price, which is its upper bound" in Estimate(spot, SHORTEST_MINUTES).run({})[1].note
    preprocess = InstanceSettings({"preprocess": JobInstances(spot=True)})
    assert "spot" not in Estimate(preprocess, SHORTEST_MINUTES).run({})[0].note


def test_an_endpoint_with_its_alarms_and_a_serverless_one_by_use() -> None:
    server, alarms = Estimate(machines(), SHORTEST_MINUTES).endpoint()
    assert (server.quantity, server.most, server.note, alarms.quantity) == (1, 3, "scales up to 3", 4)
    (only_alarms,) = endpoint_items("", 1, 3, serverless=True)
    assert only_alarms.quantity == 2
    assert Estimate(InstanceSettings(endpoint=EndpointConfig(serverless=True)), SHORTEST_MINUTES).by_use


def test_the_limits_are_those_of_the_templates() -> None:
    longer = Estimate(machines(), 100).run({})
    assert longer[3].quantity == 4 * 100 + 3 * DECISION_MINUTES, "no gate runs in the approval, deployment or rollback"
    project = yaml.load((ROOT / "templates" / "pipeline.yaml").read_text(), Loader)["Resources"]["DecisionProject"]
    assert project["Properties"]["TimeoutInMinutes"] == DECISION_MINUTES
    seconds = f"MaximumExecutionTimeoutInSeconds: {DEPLOY_LIMIT_MINUTES * 60}\n"
    assert seconds in (ROOT / "templates" / "endpoint.yaml").read_text()


def at(seconds: float) -> Price:
    return Price(0.23, Unit.HOUR, "2026-11-20T00:00:00Z", seconds)


def test_a_price_is_kept_for_a_day_by_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 100_000.0)
    project = Project(tmp_path)
    create_state_dir(project)
    cache = Cache(project)
    cache.save("us-east-1", {TRAIN: at(100_000.0 - 86_399)})
    assert cache.find("us-east-1", TRAIN) == at(100_000.0 - 86_399)
    assert cache.find("eu-west-1", TRAIN) is None
    cache.save("us-east-1", {TRAIN: at(100_000.0 - 86_401)})
    assert cache.find("us-east-1", TRAIN) is None
    cache.save("us-east-1", {TRAIN: at(100_001.0)})
    assert cache.find("us-east-1", TRAIN) is None, "a time to come is a clock that was wrong"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"us-east-1 AmazonSageMaker Train:ml.m5.xlarge": {"amount": 1}}'])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    project = Project(tmp_path)
    create_state_dir(project)
    (project.state / "prices.json").write_text(text)
    cache = Cache(project)
    assert cache.find("us-east-1", TRAIN) is None
    cache.save("us-east-1", {TRAIN: at(0)})
    assert "0.23" in (project.state / "prices.json").read_text()


def test_without_a_state_folder_no_price_is_cached(tmp_path: Path) -> None:
    Cache(Project(tmp_path)).save("us-east-1", {TRAIN: at(0)})
    assert list(tmp_path.iterdir()) == []
