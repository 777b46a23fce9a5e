"""The costs of a run, an approval and the deployed endpoint on AWS: products and quantities.

The items are the resources of the templates and everything that is billed by time. The duration of a step is the latest
one on record. Without a record it is the step's time limit; then the sum is an upper bound, and the output says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.pricing import Prices, Product
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.backends.aws.runs.build_limit import DECISION_MINUTES
from mlops_cli.backends.aws.runs.status import (
    AFTER_LAST_GATE,
    COMMAND,
    DECIDING,
    GATE_RESULT,
    JOB,
    NATIVE,
    ROLLBACK,
)
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.core.costs import CostItem, Costs, Unit
from mlops_cli.core.runs import Run, Status
from mlops_cli.core.stages import ENDPOINT_GATE, STAGES, TRAINING, Kind, Stage, position, stage_named
from mlops_cli.project.usecase.instances import InstanceSettings

SUCCEEDED = "Succeeded"
LOOK_BACK = 5  # older runs predict little
# MaximumExecutionTimeoutInSeconds of the endpoint in endpoint.yaml.
DEPLOY_LIMIT_MINUTES = 120
ALARMS, SCALING_ALARMS = 2, 2
BUILD = Product("CodeBuild", "Build-Min:Linux:g1.small", Unit.MINUTE)
ACTION = Product("AWSCodePipeline", "actionExecutionMinute", Unit.MINUTE)
ALARM = Product("AmazonCloudWatch", "CW:AlarmMonitorUsage", Unit.MONTH)
KINDS = {Kind.PROCESSING: "Processing", Kind.TRAINING: "Train"}

RUNTIME = "max_runtime_minutes"
STORED = "S3 storage by GB"
LOGGED = "CloudWatch logs by GB"
VOLUMES = "the jobs' volumes by GB-hour"
REQUESTS = "the serverless endpoint by GB-second of its requests"
UNKNOWN_INSTANCES = "the endpoint's instances by the hour: their type is not known, since its configuration was deleted"
Action = tuple[str, str]


@dataclass(frozen=True)
class ActionDuration:
    """The duration of an action in an earlier run."""

    seconds: float
    run_id: str


@dataclass(frozen=True)
class UnpricedItem:
    """A cost item without its price."""

    resource: str
    product: Product
    quantity: float
    is_recurring: bool = False
    most: float = 0.0
    note: str = ""


def recent_durations(pipeline: Pipeline, records: S3RunStore) -> dict[Action, ActionDuration]:
    """Return each action's latest duration, from the newest runs only."""
    durations: dict[Action, ActionDuration] = {}
    missing_actions = {key for stage in STAGES for key in _actions(stage)}
    for execution, _ in zip(pipeline.executions(), range(LOOK_BACK), strict=False):
        done = _done(records.load(execution.id))
        for action in pipeline.actions(execution.id):
            key = (action.stage, action.name)
            if action.stage in done and key in missing_actions - durations.keys() and action.status == SUCCEEDED:
                durations[key] = ActionDuration(action.updated - action.started, execution.id)
        if missing_actions <= durations.keys():
            break
    return durations


def _done(record: Run | None) -> set[str]:
    """Return the stages that a run executed itself: the actions of a reused stage take no time."""
    return {stage.name for stage in record.stages if stage.status is not Status.REUSED} if record else set()


def _actions(stage: Stage) -> list[Action]:
    """Return the billed actions of a stage. A manual approval is free of charge."""
    if stage.name == ENDPOINT_GATE.name:
        return [(stage.name, name) for name in (COMMAND, *AFTER_LAST_GATE)]
    native = NATIVE.get(stage.kind) if stage.kind is not Kind.APPROVAL else None
    return [(stage.name, name) for name in (COMMAND, native) if name]


class Estimate:
    """The costs of jobs and endpoint on these instances. ``build_minutes``: the time limit of builds with gates."""

    def __init__(self, machines: InstanceSettings, build_minutes: int) -> None:
        self._machines = machines
        self._build_minutes = build_minutes
        self._hosting = machines.endpoint

    def run(self, earlier: Mapping[Action, ActionDuration], from_stage: str = "") -> list[UnpricedItem]:
        """Return the items of one run that begins at ``from_stage`` and reuses nothing."""
        first = position(from_stage) if from_stage else 0
        keys = [key for stage in STAGES for key in _actions(stage) if key[1] == COMMAND or stage in STAGES[first:]]
        commands = [key for key in keys if key[1] in (COMMAND, ROLLBACK)]
        return [
            *self.jobs(earlier, first),
            *self._trial(earlier, first),
            self._minutes("builds, general1.small", BUILD, commands, earlier),
            self._minutes("pipeline actions", ACTION, keys, earlier, also=1),  # the source action
        ]

    def jobs(self, earlier: Mapping[Action, ActionDuration], first: int = 0) -> list[UnpricedItem]:
        """Return the items of the jobs of this stage and of the stages after it."""
        return [self._job(stage, earlier) for stage in STAGES[first:] if stage.kind in KINDS]

    def _trial(self, earlier: Mapping[Action, ActionDuration], first: int) -> list[UnpricedItem]:
        """Return the item of the trial of a model; the earlier duration of a training includes its trial."""
        if (TRAINING.name, JOB) in earlier or first > position(TRAINING.name):
            return []
        kind, hours = self._machines.trial.instance_type, self._machines.trial.max_runtime_minutes / 60
        product = Product("AmazonSageMaker", f"{KINDS[Kind.PROCESSING]}:{kind}", Unit.HOUR)
        return [UnpricedItem(f"trial: {kind}", product, hours, note=_duration_source([None], RUNTIME))]

    def _job(self, stage: Stage, earlier: Mapping[Action, ActionDuration]) -> UnpricedItem:
        machine = self._machines.of(stage)
        before = earlier.get((stage.name, JOB))
        hours = (before.seconds if before else machine.max_runtime_minutes * 60) / 3600
        note = _duration_source([before], RUNTIME)
        if machine.spot and stage.kind is Kind.TRAINING:
            note += "; spot: the on-demand price, which is its upper bound"
        return UnpricedItem(
            f"{stage.name}: {_request_items(machine.instance_count, machine.instance_type)}",
            Product("AmazonSageMaker", f"{KINDS[stage.kind]}:{machine.instance_type}", Unit.HOUR),
            hours * machine.instance_count,
            note=note,
        )

    def _minutes(
        self,
        resource: str,
        product: Product,
        keys: list[Action],
        earlier: Mapping[Action, ActionDuration],
        also: int = 0,
    ) -> UnpricedItem:
        """Return the item of actions. Each action is billed in whole minutes."""
        minutes = sum(math.ceil(earlier[key].seconds / 60) or 1 if key in earlier else self._limit(key) for key in keys)
        note = _duration_source([earlier.get(key) for key in keys], "time limits")
        return UnpricedItem(f"{len(keys) + also} {resource}", product, minutes + also, note=note)

    def _limit(self, key: Action) -> int:
        stage, name = key
        if name in (COMMAND, ROLLBACK):
            return DECISION_MINUTES if name == ROLLBACK or stage in DECIDING else self._build_minutes
        if name == GATE_RESULT:
            return 1  # the action only reports a result
        if name != JOB:
            return DEPLOY_LIMIT_MINUTES
        trial = self._machines.trial.max_runtime_minutes if stage == TRAINING.name else 0
        return self._machines.of(stage_named(stage)).max_runtime_minutes + trial

    def endpoint(self) -> list[UnpricedItem]:
        """Return the items of the endpoint that an approval creates, as long as it exists."""
        hosting = self._hosting
        return endpoint_items(hosting.instance_type, hosting.instance_count, hosting.max_instances, hosting.serverless)

    @property
    def by_use(self) -> tuple[str, ...]:
        return (REQUESTS,) if self._hosting.serverless else ()


def endpoint_items(kind: str, count: int, most: int, serverless: bool) -> list[UnpricedItem]:
    """Return the items of an endpoint and its alarms."""
    scaled = most > count and not serverless
    alarms = UnpricedItem("alarms", ALARM, ALARMS + (SCALING_ALARMS if scaled else 0), is_recurring=True)
    if serverless:
        return [alarms]
    product = Product("AmazonSageMaker", f"Host:{kind}", Unit.HOUR)
    note = f"scales up to {most}" if scaled else ""
    return [UnpricedItem(f"endpoint: {_request_items(count, kind)}", product, count, True, most, note), alarms]


def _request_items(count: int, kind: str) -> str:
    return kind if count == 1 else f"{count} × {kind}"


def _duration_source(before: Iterable[ActionDuration | None], limit: str) -> str:
    """Return the source of a duration in words."""
    durations = list(before)
    runs = ", ".join(dict.fromkeys(duration.run_id[:8] for duration in durations if duration))
    if all(durations):
        return f"duration of run {runs}"
    return f"at most: {limit}" + (f", and duration of run {runs}" if runs else "")


def with_prices(items: Iterable[UnpricedItem], prices: Prices, by_use: Iterable[str] = ()) -> Costs:
    items = list(items)
    quotes = prices.quote(item.product for item in items)
    lines = (
        CostItem(
            item.resource,
            item.quantity,
            item.product.unit,
            quotes[item.product].price,
            item.is_recurring,
            item.most,
            item.note,
            quotes[item.product].unknown_reason,
        )
        for item in items
    )
    return Costs(tuple(lines), tuple(by_use))


def current_endpoint_items(account: Account, endpoint: str) -> tuple[list[UnpricedItem], tuple[str, ...]]:
    """Return the items of the existing endpoint: its hourly costs, and its costs by use."""
    client = account.client("sagemaker")
    description = or_none(client.describe_endpoint, EndpointName=endpoint)
    if description is None:
        return [], ()
    config = or_none(client.describe_endpoint_config, EndpointConfigName=description["EndpointConfigName"])
    if config is None:
        return [], (UNKNOWN_INSTANCES,)
    variant = config["ProductionVariants"][0]
    if "ServerlessConfig" in variant:
        return endpoint_items("", 0, 0, serverless=True), (REQUESTS,)
    count = _count(description, variant)
    return endpoint_items(variant["InstanceType"], count, count, serverless=False), ()


def _count(description: Mapping[str, Any], variant: Mapping[str, Any]) -> int:
    """Return the present number of instances; while the endpoint is being created, the initial number."""
    current = (entry.get("CurrentInstanceCount") for entry in description.get("ProductionVariants", ()))
    return next(filter(None, current), 0) or int(variant["InitialInstanceCount"])
