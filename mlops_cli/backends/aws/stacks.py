"""CloudFormation stacks: what state they are in, and how they are made, changed and deleted whatever it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws import changesets
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.changesets import EMPTY, ChangeSet, Wanted
from mlops_cli.backends.aws.events import Operation, newest, remedy
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.plans import Action, Change
from mlops_cli.progress import Watch

WELL = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")
# Never whole, and CloudFormation can only delete it.
STILLBORN = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")

GONE = "DELETE_COMPLETE"


@dataclass(frozen=True)
class Stack:
    name: str
    id: str
    status: str
    reason: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        return self.status == GONE

    @property
    def busy(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != EMPTY


class StackFailed(MlopsError):
    """An operation on a stack did not succeed; the message has the first cause."""


class Stacks:
    def __init__(self, account: Account, names: Names) -> None:
        self._client = account.client("cloudformation")
        self._names = names
        self._region = account.region

    def peek(self, name: str) -> Stack | None:
        """The stack of this name, whoever made it; None if there is none or it is deleted."""
        try:
            stack = _stack(self._client.describe_stacks(StackName=name)["Stacks"][0])
        except AwsError as error:
            if error.code == "ValidationError" and "does not exist" in error.said:
                return None
            raise
        return None if stack.gone else stack

    def owns(self, stack: Stack) -> bool:
        """Whether it has this project's tags; a stack that only holds a plan may have none yet."""
        return self._names.tags.items() <= stack.tags.items() or (stack.status == EMPTY and not stack.tags)

    def known(self, name: str) -> Iterator[Stack]:
        """The project's stacks of this name: the one that is there, and deleted ones."""
        there = self.peek(name)
        if there and self.owns(there):
            yield there
        for one in self._client.pages("list_stacks", "StackSummaries", StackStatusFilter=[GONE]):
            if one["StackName"] == name:
                stack = _stack(self._client.describe_stacks(StackName=one["StackId"])["Stacks"][0])
                if self.owns(stack):
                    yield stack

    def made(self, stack: Stack) -> tuple[set[str], float]:
        """What the resources are called that a stack has or had, and when anything happened to it last.

        Not those that it could not make, such as for there being one of this name already. Of an old stack the events
        are gone, of a deleted one they tell of each resource.
        """
        events = list(self._client.pages("describe_stack_events", "StackEvents", StackName=stack.id))
        failed = {one["LogicalResourceId"] for one in events if one.get("ResourceStatus") == "CREATE_FAILED"}
        resources = self._client.pages("list_stack_resources", "StackResourceSummaries", StackName=stack.id)
        told = [*resources, *events]
        made = {one.get("PhysicalResourceId", "") for one in told if one["LogicalResourceId"] not in failed}
        return made, max((one["Timestamp"].timestamp() for one in events), default=0.0)

    def find(self, name: str) -> Stack | None:
        """The project's stack of this name; raises MlopsError if it is somebody else's."""
        stack = self.peek(name)
        if stack and not self.owns(stack):
            raise MlopsError(
                f"There is a stack {name} that mlops did not make: it has no tag mlops:project={self._names.use_case}.",
                "Choose another STAGE, or another name in training/usecase.toml.",
            )
        return stack

    def contents(self, stack: Stack) -> str:
        """How much is in it, in words."""
        found = self._client.pages("list_stack_resources", "StackResourceSummaries", StackName=stack.id)
        count = sum(1 for one in found if one["ResourceStatus"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED"))
        return f"{count} resources, {stack.status}"

    def outputs(self, name: str) -> dict[str, str] | None:
        """A stack's outputs, None if there is no such stack or its creation has not come to an end."""
        stack = self.find(name)
        return stack.outputs if stack and stack.outputs else None

    def required(self, name: str) -> dict[str, str]:
        """A stack's outputs; raises ConfigurationError when there is no such stack yet."""
        outputs = self.outputs(name)
        if outputs is None:
            raise ConfigurationError(
                f"The aws target is not set up yet: there is no stack {name} in {self._region}.",
                "Set it up: mlops deploy-infra",
            )
        return outputs

    def settled(self, name: str, watch: Watch) -> Stack | None:
        """The stack once nothing is in progress with it any more: what a killed command began, or somebody else."""
        stack = self.find(name)
        if stack is None or not stack.busy:
            return stack
        settled = _stack(Operation(self._client, stack.id).follow(watch))
        return None if settled.gone else settled

    def prepare(self, wanted: Wanted, stack: Stack | None) -> ChangeSet | None:
        """What makes a settled stack as wanted; None when nothing would change."""
        if stack and stack.status not in (*WELL, EMPTY):
            raise self._unusable(stack)
        return changesets.prepare(self._client, wanted, stack is None or stack.status == EMPTY)

    def discard(self, change_set: ChangeSet) -> None:
        changesets.discard(self._client, change_set)

    def preview(self, wanted: Wanted) -> tuple[Change, ...]:
        """The types of what a template would make, when a change set cannot be had yet."""
        summary = self._client.get_template_summary(TemplateBody=wanted.template)
        return tuple(Change(Action.ADD, kind) for kind in sorted(summary.get("ResourceTypes", ())))

    def execute(self, change_set: ChangeSet, watch: Watch) -> Stack:
        """Carry a change set out and follow it to its end; raises StackFailed with the first cause."""
        before = newest(self._client, change_set.stack_id)
        begun = changesets.execute(self._client, change_set)
        operation = Operation(self._client, change_set.stack_id, before if begun else "")
        stack = _stack(operation.follow(watch))
        if stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise self._failed(stack, operation, "made" if change_set.creates else "changed")
        return stack

    def delete(self, stack: Stack, watch: Watch) -> None:
        """Delete a stack and wait for it; raises StackFailed when something in it stays."""
        operation = Operation(self._client, stack.id, newest(self._client, stack.id))
        self._client.delete_stack(StackName=stack.id)
        ended = _stack(operation.follow(watch))
        if not ended.gone:
            raise self._failed(ended, operation, "deleted")

    def why(self, stack: Stack) -> str:
        """In words, why the stack's latest operation failed."""
        cause = Operation(self._client, stack.id).cause()
        return f"{cause.name} ({cause.kind}): {cause.reason}" if cause else stack.reason

    def _failed(self, stack: Stack, operation: Operation, verb: str) -> StackFailed:
        cause = operation.cause()
        again = "mlops cleanup" if verb == "deleted" else "mlops deploy-infra"
        if cause is None:
            return StackFailed(
                f"The stack {stack.name} could not be {verb}: it is {stack.status}. {stack.reason}".rstrip(),
                f"Put this right, then repeat: {again}",
            )
        return StackFailed(
            f"The stack {stack.name} could not be {verb}: {cause.name} ({cause.kind}) is {cause.status}, "
            f"says AWS: {cause.reason}",
            f"{remedy(cause)}, then repeat: {again}",
        )

    def _unusable(self, stack: Stack) -> MlopsError:
        if stack.status == "DELETE_FAILED":
            return MlopsError(
                f"The stack {stack.name} is half deleted: {self.why(stack)}",
                "Finish that first: mlops cleanup",
            )
        return MlopsError(
            f"The stack {stack.name} is {stack.status} and takes no changes: {self.why(stack)}",
            f"Bring it back: aws cloudformation continue-update-rollback --stack-name {stack.name}",
        )


def _stack(found: dict[str, Any]) -> Stack:
    return Stack(
        name=found["StackName"],
        id=found["StackId"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason", ""),
        outputs={one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())},
        parameters={one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())},
        tags={one["Key"]: one["Value"] for one in found.get("Tags", ())},
    )
