"""The events of a stack's latest operation, and the first cause of a failure."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import DENIED, AwsError, denial
from mlops_cli.core.progress import ResourceEvent, Watch

BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "IMPORT_IN_PROGRESS")
STACK = "AWS::CloudFormation::Stack"
# CloudFormation's messages that only refer to another message.
LISTED_APART = "DescribeEvents"
# Messages about another resource's failure: never the cause itself.
CONSEQUENCE = re.compile(r"cancelled|canceled|The following resource\(s\) failed", re.IGNORECASE)


def backoff_pauses() -> Iterator[float]:
    """Yield the seconds between two polls: short at first, then long enough for AWS's rate limits."""
    return itertools.chain((0.2, 0.3, 0.5, 0.8, 1.2, 2.0), itertools.repeat(3.0))


class StackOperation:
    """The events of a stack since the event ``mark``, or of its latest operation if that began later."""

    def __init__(self, client: Client, stack_id: str, mark: str = "") -> None:
        self._client = client
        self._id = stack_id
        self._mark = mark
        self._emitted_count = 0

    def events(self) -> list[ResourceEvent]:
        """Return the events, the oldest first."""
        events: list[dict[str, Any]] = []
        for event in self._client.pages("describe_stack_events", "StackEvents", StackName=self._id):
            if event["EventId"] == self._mark:
                break
            events.append(event)
            if event.get("PhysicalResourceId") == self._id and event["ResourceStatus"] in BEGINNINGS:
                break
        return [_resource_event(event) for event in reversed(events)]

    def emit_new_events(self, watch: Watch) -> None:
        """Emit the events since the last call."""
        events = self.events()
        for event in events[self._emitted_count :]:
            watch(event)
        self._emitted_count = len(events)

    def cause(self) -> ResourceEvent | None:
        """Return the failure that caused the others. For a refused template this is the first validation error."""
        cause = first_cause(self.events())
        if cause and cause.kind == STACK and LISTED_APART in cause.reason:
            return next(iter(findings(self._client, StackName=self._id)), cause)
        return cause

    def follow(self, watch: Watch) -> dict[str, Any]:
        """Emit events until the operation has ended. Return CloudFormation's last description of the stack."""
        for pause in backoff_pauses():
            stack: dict[str, Any] = self._client.describe_stacks(StackName=self._id)["Stacks"][0]
            self.emit_new_events(watch)
            if self._is_over(stack["StackStatus"]):
                return stack
            time.sleep(pause)
        raise AssertionError

    def _is_over(self, status: str) -> bool:
        """Return True if this operation has ended. Before its first event, the stack still has its earlier status."""
        if status.endswith("_IN_PROGRESS"):
            return False
        return bool(self._emitted_count or not self._mark or status == "DELETE_COMPLETE")


def findings(client: Client, **of: str) -> list[ResourceEvent]:
    """Return what CloudFormation's validation reports about the template of a stack or change set.

    Empty if boto3 is too old for this call, or if the caller lacks the permission.
    """
    if not hasattr(client.raw, "describe_events"):
        return []
    try:
        events = list(client.pages("describe_events", "OperationEvents", **of, Filters={"FailedEvents": True}))
    except AwsError as error:
        if error.code in DENIED:
            return []
        raise
    return [_finding(event) for event in events if event.get("ValidationStatusReason")]


def _finding(event: dict[str, Any]) -> ResourceEvent:
    return ResourceEvent(
        group=event["StackId"].split("/")[1],
        name=event.get("LogicalResourceId", "the template"),
        kind=event.get("ResourceType", STACK),
        status="VALIDATION_FAILED",
        reason=event["ValidationStatusReason"],
    )


def newest(client: Client, stack_id: str) -> str:
    """Return the id of the stack's latest event."""
    events = client.pages("describe_stack_events", "StackEvents", StackName=stack_id)
    return next((str(event["EventId"]) for event in events), "")


def _resource_event(event: dict[str, Any]) -> ResourceEvent:
    return ResourceEvent(
        group=event["StackName"],
        name=event["LogicalResourceId"],
        kind=event["ResourceType"],
        status=event["ResourceStatus"],
        reason=event.get("ResourceStatusReason", ""),
        at=event["Timestamp"].timestamp(),
    )


def first_cause(events: list[ResourceEvent]) -> ResourceEvent | None:
    """Return the failure that caused the others."""
    failures = [event for event in events if event.failed and not CONSEQUENCE.search(event.reason)]
    return next((event for event in failures if event.kind != STACK), next(iter(failures), None))


def suggest_fix(cause: ResourceEvent) -> str:
    """Return a fix for a failure, chosen by AWS's message."""
    message = cause.reason
    if "not authorized" in message or "AccessDenied" in message or "Access Denied" in message:
        action, _ = denial(message, f"what {cause.kind} needs")
        return f"Get the permission {action}"
    if cause.kind == "AWS::S3::Bucket" and "already" in message:
        return "The bucket's name is taken: set another BUCKET_NAME, or leave it empty"
    if "CodeCommit" in cause.kind and ("OperationNotAllowed" in message or "no existing repository" in message):
        return "This account has no CodeCommit: choose another source: mlops deploy-infra --source s3"
    if "CodeCommit" in cause.kind and "already exists" in message:
        return "The repository exists: set another REPOSITORY_NAME"
    if re.search(r"limit|quota", message, re.IGNORECASE):
        return "Request a higher quota in the AWS console under Service Quotas"
    if "already exists" in message:
        return f"Remove or rename the existing {cause.kind}"
    return "Fix this"
