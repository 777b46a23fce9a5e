"""All endpoints and running jobs of the account and region, of any owner; and which endpoints are idle."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.cleanup.sagemaker import list_or_none
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.core.checks import Finding, State, ok

IDLE_DAYS = 7
UNKNOWN_TYPE = "an instance type that is not known"
# A younger endpoint is not idle: it may just have been deployed.
YOUNG_DAYS = 1
DAY = 86_400


@dataclass(frozen=True)
class Variant:
    """``instances``: the number of instances of type ``kind``; 0 for a serverless variant."""

    name: str
    kind: str
    instances: int


@dataclass(frozen=True)
class EndpointInfo:
    """An existing endpoint. ``changed``: seconds since the epoch; the present version got no request before."""

    name: str
    status: str
    changed: float
    variants: tuple[Variant, ...]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def bills(self) -> bool:
        """Return True if the variant costs money without requests."""
        return self.status not in ("Failed", "Deleting") and any(variant.instances for variant in self.variants)


class RunningInstances:
    def __init__(self, subject: CheckContext) -> None:
        self._account = subject.account
        self._client = subject.account.client("sagemaker")

    @cached_property
    def endpoints(self) -> tuple[EndpointInfo, ...]:
        """The account's endpoints, without those that were deleted while they were listed."""
        summaries = list_or_none(self._client, "list_endpoints", "Endpoints")
        names = (summary["EndpointName"] for summary in summaries)
        described = [(name, or_none(self._client.describe_endpoint, EndpointName=name)) for name in names]
        return tuple(self._hosted(name, description) for name, description in described if description)

    def _hosted(self, name: str, description: Mapping[str, Any]) -> EndpointInfo:
        variants = description.get("ProductionVariants", ())
        kinds = self._kinds(description["EndpointConfigName"]) if variants else {}
        return EndpointInfo(
            name,
            description["EndpointStatus"],
            description["LastModifiedTime"].timestamp(),
            tuple(
                Variant(
                    variant["VariantName"],
                    kinds.get(variant["VariantName"], UNKNOWN_TYPE),
                    variant.get("CurrentInstanceCount", 0),
                )
                for variant in variants
            ),
            {
                tag["Key"]: tag["Value"]
                for tag in list_or_none(self._client, "list_tags", "Tags", ResourceArn=description["EndpointArn"])
            },
        )

    def _kinds(self, configuration: str) -> dict[str, str]:
        """Return the instance types by variant; none if the endpoint's configuration was deleted."""
        config = or_none(self._client.describe_endpoint_config, EndpointConfigName=configuration)
        variants = config["ProductionVariants"] if config else ()
        return {variant["VariantName"]: variant.get("InstanceType", "") for variant in variants}

    def instances(self, kind: str, endpoint: str = "") -> int:
        """Return the number of instances of this type, for one endpoint or for all."""
        return sum(
            variant.instances
            for endpoint_info in self.endpoints
            for variant in endpoint_info.variants
            if variant.kind == kind and endpoint in ("", endpoint_info.name)
        )

    def instances_of_jobs(self, use: str, kind: str) -> int:
        """Return the number of instances of this type in jobs. ``use``: processing, training or spot training."""
        if use == "processing":
            return sum(self._of_processing(name, kind) for name in self._running("Processing"))
        spot = use.startswith("spot")
        return sum(self._of_training(name, kind, spot) for name in self._running("Training"))

    def _running(self, kind: str) -> list[str]:
        jobs = list_or_none(self._client, f"list_{kind.lower()}_jobs", f"{kind}JobSummaries", StatusEquals="InProgress")
        return [summary[f"{kind}JobName"] for summary in jobs]

    def _of_processing(self, name: str, kind: str) -> int:
        description = self._client.describe_processing_job(ProcessingJobName=name)
        cluster = description["ProcessingResources"]["ClusterConfig"]
        return int(cluster["InstanceCount"]) if cluster["InstanceType"] == kind else 0

    def _of_training(self, name: str, kind: str, spot: bool) -> int:
        description = self._client.describe_training_job(TrainingJobName=name)
        cluster = description["ResourceConfig"]
        same = cluster.get("InstanceType") == kind and bool(description.get("EnableManagedSpotTraining")) == spot
        return int(cluster["InstanceCount"]) if same else 0

    def requests(self, endpoint: EndpointInfo, since: float) -> float:
        """Return the number of requests to all variants."""
        metrics = self._account.client("cloudwatch")
        current_time = time.time()
        span = {
            "StartTime": datetime.datetime.fromtimestamp(since, datetime.timezone.utc),
            "EndTime": datetime.datetime.fromtimestamp(current_time, datetime.timezone.utc),
        }
        points = [
            point
            for variant in endpoint.variants
            for point in metrics.get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName="Invocations",
                Dimensions=[
                    {"Name": "EndpointName", "Value": endpoint.name},
                    {"Name": "VariantName", "Value": variant.name},
                ],
                Period=DAY,
                Statistics=["Sum"],
                **span,
            )["Datapoints"]
        ]
        return float(sum(point["Sum"] for point in points))


def idle(subject: CheckContext, fleet: RunningInstances) -> Iterator[Finding]:
    current_time = time.time()
    running = [endpoint for endpoint in fleet.endpoints if endpoint.bills]
    asleep = [
        endpoint
        for endpoint in running
        if current_time - endpoint.changed >= YOUNG_DAYS * DAY and not _has_requests(fleet, endpoint, current_time)
    ]
    yield from (_idle(subject, endpoint, current_time) for endpoint in asleep)
    if not asleep:
        yield ok("endpoints", f"on instances in this account and region: {len(running)}, none of them idle")


def _has_requests(fleet: RunningInstances, endpoint: EndpointInfo, current_time: float) -> bool:
    return fleet.requests(endpoint, max(endpoint.changed, current_time - IDLE_DAYS * DAY)) > 0


def _idle(subject: CheckContext, endpoint: EndpointInfo, current_time: float) -> Finding:
    days = min(IDLE_DAYS, int((current_time - endpoint.changed) / DAY))
    machines = " and ".join(
        f"{variant.instances} × {variant.kind}" for variant in endpoint.variants if variant.instances
    )
    owner, fix = _owner(subject, endpoint)
    return Finding(
        "endpoints",
        State.WARNING,
        f"{endpoint.name} ({owner}) runs on {machines} and had no request for {days} day{'s' if days > 1 else ''}.",
        "Its instances are billed by the hour, with or without requests.",
        fix,
    )


def _owner(subject: CheckContext, endpoint: EndpointInfo) -> tuple[str, str]:
    region = subject.account.region
    if subject.names.tags.items() <= endpoint.tags.items():
        return "of this project", "mlops cleanup --keep-data"
    project = endpoint.tags.get("mlops:project")
    if project:
        stage = endpoint.tags.get("mlops:environment", "")
        return (
            f"created by mlops for {project}, STAGE={stage}",
            f"In that project: STAGE={stage} mlops cleanup --keep-data",
        )
    return (
        "not created by mlops",
        f"If nobody needs it: aws sagemaker delete-endpoint --endpoint-name {endpoint.name} --region {region}",
    )
