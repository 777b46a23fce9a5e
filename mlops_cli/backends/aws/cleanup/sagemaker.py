"""A project's SageMaker resources and their logs: list each kind by name and tag, and remove it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.logs import JOB_LOGS
from mlops_cli.backends.aws.clients.stack_events import backoff_pauses
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.core import cleanup_texts as texts
from mlops_cli.core.plan import Action, Change

IN_PROGRESS = ("InProgress", "Stopping")
# AWS creates it once for all state machines in the account that wait for jobs.
JOB_RULE = "StepFunctionsGetEventsForSageMaker{}JobsRule"
JOB_KINDS = ("Training", "Processing")


def poll_until(ended: Callable[[], bool]) -> None:
    for pause in backoff_pauses():
        if ended():
            return
        time.sleep(pause)


def ignore_not_found(act: Callable[..., Any], **parameters: Any) -> None:
    """Call a removal. It is no error if the resource does not exist any more."""
    try:
        act(**parameters)
    except AwsError as error:
        if not error.is_not_found:
            raise


def list_or_none(client: Client, operation: str, items: str, **parameters: Any) -> list[Any]:
    """Return all entries, or none if the parent resource does not exist."""
    try:
        return list(client.pages(operation, items, **parameters))
    except AwsError as error:
        if error.is_not_found:
            return []
        raise


class TaggedResources:
    """SageMaker resources that have the project's tags and the endpoint's name as prefix."""

    def __init__(self, client: Client, names: ResourceNames, endpoint: str) -> None:
        self._client = client
        self._tags = names.tags.items()
        self._prefix = f"{endpoint}-"
        self._endpoint = endpoint
        self._is_tagged: dict[str, bool] = {}

    def named(self, operation: str, items: str, name: str, arn: str) -> Iterator[dict[str, Any]]:
        for resource in self._client.pages(operation, items, NameContains=self._endpoint):
            own = resource[name] == self._endpoint or resource[name].startswith(self._prefix)
            if own and self.owns(resource[arn]):
                yield resource

    def owns(self, arn: str) -> bool:
        if arn not in self._is_tagged:
            tags = list_or_none(self._client, "list_tags", "Tags", ResourceArn=arn)
            self._is_tagged[arn] = self._tags <= {tag["Key"]: tag["Value"] for tag in tags}.items()
        return self._is_tagged[arn]


class Jobs:
    """Training or processing jobs: running ones, records of finished ones, and logs in the account's shared group."""

    def __init__(self, kind: str, client: Client, logs: Client, tagged: TaggedResources) -> None:
        self._kind = kind
        self._client = client
        self._logs = logs
        self._tagged = tagged
        self._group = JOB_LOGS.format(kind)

    def list_resources(self) -> list[Change]:
        jobs = self._jobs()
        kind = self._kind.lower()
        going = [
            Change(Action.STOP, f"{kind} job {name}", status) for name, status in jobs.items() if status in IN_PROGRESS
        ]
        ended = len(jobs) - len(going)
        streams = sum(len(self._streams(name)) for name in jobs)
        return [
            *going,
            *_counted(Action.REMOVE, ended if self._deletable else 0, f"{kind} job", texts.ENDED_JOBS),
            *_counted(Action.REMOVE, streams, "log stream", texts.log_streams(kind, self._group)),
        ]

    def remove(self) -> None:
        """Remove the logs before the records: only the records say who owns the logs."""
        poll_until(self._stopped)
        for name in self._jobs():
            for stream in self._streams(name):
                ignore_not_found(self._logs.delete_log_stream, logGroupName=self._group, logStreamName=stream)
            if self._deletable:
                ignore_not_found(
                    getattr(self._client, f"delete_{self._kind.lower()}_job"), **{f"{self._kind}JobName": name}
                )

    @property
    def _deletable(self) -> bool:
        """Return True if this boto3 can delete these records. Until 2025, AWS kept them forever."""
        return hasattr(self._client.raw, f"delete_{self._kind.lower()}_job")

    def _stopped(self) -> bool:
        going = {name: status for name, status in self._jobs().items() if status in IN_PROGRESS}
        for name, status in going.items():
            if status == "InProgress":
                self._stop(name)
        return not going

    def _stop(self, name: str) -> None:
        """Stop a job. A job that has finished since it was listed stays unchanged."""
        try:
            getattr(self._client, f"stop_{self._kind.lower()}_job")(**{f"{self._kind}JobName": name})
        except AwsError as error:
            if not (error.is_not_found or error.code == "ValidationException"):
                raise

    def _jobs(self) -> dict[str, str]:
        summaries = self._tagged.named(
            f"list_{self._kind.lower()}_jobs",
            f"{self._kind}JobSummaries",
            f"{self._kind}JobName",
            f"{self._kind}JobArn",
        )
        return {summary[f"{self._kind}JobName"]: summary[f"{self._kind}JobStatus"] for summary in summaries}

    def _streams(self, job: str) -> list[str]:
        arguments = {"logGroupName": self._group, "logStreamNamePrefix": f"{job}/"}
        return [
            stream["logStreamName"]
            for stream in list_or_none(self._logs, "describe_log_streams", "logStreams", **arguments)
        ]


class OrphanedResources:
    """Endpoints, endpoint configurations and models that belong to no stack."""

    KINDS = (("endpoint", "Endpoint"), ("endpoint_config", "EndpointConfig"), ("model", "Model"))

    def __init__(self, client: Client, tagged: TaggedResources) -> None:
        self._client = client
        self._tagged = tagged

    def list_resources(self) -> list[Change]:
        return [
            Change(Action.REMOVE, f"{kind.replace('_', ' ')} {name}", texts.OUTSIDE_OF_STACK)
            for kind, _, name in self._all()
        ]

    def remove(self) -> None:
        for kind, noun, name in self._all():
            ignore_not_found(getattr(self._client, f"delete_{kind}"), **{f"{noun}Name": name})
        poll_until(lambda: not list(self._all()))

    def _all(self) -> Iterator[tuple[str, str, str]]:
        for kind, noun in self.KINDS:
            for resource in self._tagged.named(f"list_{kind}s", f"{noun}s", f"{noun}Name", f"{noun}Arn"):
                yield kind, noun, resource[f"{noun}Name"]


class ModelPackages:
    """Registered model versions. The pipeline's stack owns the group, and can delete it only when it is empty."""

    def __init__(self, client: Client, group: str) -> None:
        self._client = client
        self._group = group

    def list_resources(self) -> list[Change]:
        return _counted(Action.REMOVE, len(self._arns()), "model version", f"registered in {self._group}")

    def remove(self) -> None:
        for arn in self._arns():
            ignore_not_found(self._client.delete_model_package, ModelPackageName=arn)

    def _arns(self) -> list[str]:
        if not self._group:
            return []
        packages = list_or_none(
            self._client, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=self._group
        )
        return [package["ModelPackageArn"] for package in packages]


def _counted(action: Action, count: int, noun: str, why: str) -> list[Change]:
    return [Change(action, f"{count:,} {noun}{'s' if count > 1 else ''}", why)] if count else []


def shared(logs: Client, events: Client) -> list[Change]:
    """Return resources that AWS created for all jobs of the account. They are kept; they cost nothing when empty."""
    kept = []
    for kind in JOB_KINDS:
        group, rule = JOB_LOGS.format(kind), JOB_RULE.format(kind)
        groups = logs.pages("describe_log_groups", "logGroups", logGroupNamePrefix=group)
        if any(entry["logGroupName"] == group for entry in groups):
            kept.append(Change(Action.KEEP, f"log group {group}", texts.SHARED_LOGS))
        if list_or_none(events, "list_rules", "Rules", NamePrefix=rule):
            kept.append(Change(Action.KEEP, f"rule {rule}", texts.SHARED_RULE))
    return kept
