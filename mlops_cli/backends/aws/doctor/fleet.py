"""Every endpoint and running job of the account and region, whoever made it, and the endpoints that nobody asks."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.doctor.subject import Subject
from mlops_cli.backends.aws.remains import listed
from mlops_cli.doctor import Finding, State, ok

IDLE_DAYS = 7
# Younger ones may only just have been deployed.
YOUNG_DAYS = 1
DAY = 86_400


@dataclass(frozen=True)
class Variant:
    """``instances`` of ``kind``; a serverless variant has none."""

    name: str
    kind: str
    instances: int


@dataclass(frozen=True)
class Hosted:
    """An endpoint that is there; ``changed`` in seconds since the epoch: nobody could ask this version before."""

    name: str
    status: str
    changed: float
    variants: tuple[Variant, ...]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def bills(self) -> bool:
        """Whether it costs something while nobody asks it."""
        return self.status not in ("Failed", "Deleting") and any(one.instances for one in self.variants)


class Fleet:
    def __init__(self, subject: Subject) -> None:
        self._account = subject.account
        self._client = subject.account.client("sagemaker")

    @cached_property
    def endpoints(self) -> tuple[Hosted, ...]:
        found = listed(self._client, "list_endpoints", "Endpoints")
        return tuple(self._hosted(one) for one in found)

    def _hosted(self, summary: dict[str, Any]) -> Hosted:
        name = summary["EndpointName"]
        found = self._client.describe_endpoint(EndpointName=name)
        variants = found.get("ProductionVariants", ())
        kinds = self._kinds(found["EndpointConfigName"]) if variants else {}
        return Hosted(
            name,
            found["EndpointStatus"],
            found["LastModifiedTime"].timestamp(),
            tuple(
                Variant(one["VariantName"], kinds.get(one["VariantName"], ""), one.get("CurrentInstanceCount", 0))
                for one in variants
            ),
            {
                tag["Key"]: tag["Value"]
                for tag in listed(self._client, "list_tags", "Tags", ResourceArn=found["EndpointArn"])
            },
        )

    def _kinds(self, configuration: str) -> dict[str, str]:
        found = self._client.describe_endpoint_config(EndpointConfigName=configuration)
        return {one["VariantName"]: one.get("InstanceType", "") for one in found["ProductionVariants"]}

    def instances(self, kind: str, endpoint: str = "") -> int:
        """How many instances of an endpoint, or of all, are of this type."""
        return sum(
            variant.instances
            for one in self.endpoints
            for variant in one.variants
            if variant.kind == kind and endpoint in ("", one.name)
        )

    def instances_of_jobs(self, use: str, kind: str) -> int:
        """How many instances of this type running jobs have: ``use`` is processing, training or spot training."""
        if use == "processing":
            return sum(self._of_processing(name, kind) for name in self._running("Processing"))
        spot = use.startswith("spot")
        return sum(self._of_training(name, kind, spot) for name in self._running("Training"))

    def _running(self, word: str) -> list[str]:
        jobs = listed(self._client, f"list_{word.lower()}_jobs", f"{word}JobSummaries", StatusEquals="InProgress")
        return [one[f"{word}JobName"] for one in jobs]

    def _of_processing(self, name: str, kind: str) -> int:
        found = self._client.describe_processing_job(ProcessingJobName=name)
        cluster = found["ProcessingResources"]["ClusterConfig"]
        return int(cluster["InstanceCount"]) if cluster["InstanceType"] == kind else 0

    def _of_training(self, name: str, kind: str, spot: bool) -> int:
        found = self._client.describe_training_job(TrainingJobName=name)
        cluster = found["ResourceConfig"]
        same = cluster.get("InstanceType") == kind and bool(found.get("EnableManagedSpotTraining")) == spot
        return int(cluster["InstanceCount"]) if same else 0

    def requests(self, endpoint: Hosted, since: float) -> float:
        """How many requests all its variants have had."""
        metrics = self._account.client("cloudwatch")
        now = time.time()
        span = {
            "StartTime": datetime.datetime.fromtimestamp(since, datetime.timezone.utc),
            "EndTime": datetime.datetime.fromtimestamp(now, datetime.timezone.utc),
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


def idle(subject: Subject, fleet: Fleet) -> Iterator[Finding]:
    now = time.time()
    running = [one for one in fleet.endpoints if one.bills]
    asleep = [one for one in running if now - one.changed >= YOUNG_DAYS * DAY and not _asked(fleet, one, now)]
    yield from (_idle(subject, one, now) for one in asleep)
    if not asleep:
        yield ok("endpoints", f"on instances in this account and region: {len(running)}, none of them idle")


def _asked(fleet: Fleet, endpoint: Hosted, now: float) -> bool:
    return fleet.requests(endpoint, max(endpoint.changed, now - IDLE_DAYS * DAY)) > 0


def _idle(subject: Subject, endpoint: Hosted, now: float) -> Finding:
    days = min(IDLE_DAYS, int((now - endpoint.changed) / DAY))
    machines = " and ".join(f"{one.instances} × {one.kind}" for one in endpoint.variants if one.instances)
    whose, mend = _whose(subject, endpoint)
    return Finding(
        "endpoints",
        State.WARNING,
        f"{endpoint.name} ({whose}) runs on {machines} and had no request for {days} day{'s' if days > 1 else ''}.",
        "Its instances are billed by the hour, whether anybody asks or not.",
        mend,
    )


def _whose(subject: Subject, endpoint: Hosted) -> tuple[str, str]:
    region = subject.account.region
    if subject.names.tags.items() <= endpoint.tags.items():
        return "of this project", "mlops cleanup --keep-data"
    project = endpoint.tags.get("mlops:project")
    if project:
        stage = endpoint.tags.get("mlops:environment", "")
        return (
            f"made by mlops for {project}, STAGE={stage}",
            f"In that project: STAGE={stage} mlops cleanup --keep-data",
        )
    return (
        "not made by mlops",
        f"If nobody needs it: aws sagemaker delete-endpoint --endpoint-name {endpoint.name} --region {region}",
    )
