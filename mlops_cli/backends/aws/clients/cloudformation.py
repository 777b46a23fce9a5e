"""CloudFormation stacks: read their state; create, change and delete them from any state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients import change_sets
from mlops_cli.backends.aws.clients.change_sets import EMPTY, ChangeSet, StackSpec
from mlops_cli.backends.aws.clients.stack_events import StackOperation, newest, suggest_fix
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.core.plan import Action, Change
from mlops_cli.core.progress import Watch, no_watch
from mlops_cli.errors import MlopsError

STABLE = (
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
    "IMPORT_ROLLBACK_COMPLETE",
)
# The stack was never complete, and CloudFormation can only delete it.
NEVER_CREATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
# With these statuses, the stack is deleted or was never created.
ENDING = ("ROLLBACK_IN_PROGRESS", "DELETE_IN_PROGRESS")

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
    def is_deleted(self) -> bool:
        return self.status == GONE

    @property
    def is_in_progress(self) -> bool:
        return self.status.endswith("_IN_PROGRESS") and self.status != EMPTY


class StackFailed(MlopsError):
    """An operation on a stack failed; the message has the first cause."""


class Stacks:
    def __init__(self, account: Account, names: ResourceNames) -> None:
        self._client = account.client("cloudformation")
        self._names = names
        self._region = account.region

    def get_or_none(self, name: str) -> Stack | None:
        """Return the stack of this name, of any owner; None if it does not exist or was deleted."""
        try:
            stack = _stack(self._client.describe_stacks(StackName=name)["Stacks"][0])
        except AwsError as error:
            if error.is_not_found:
                return None
            raise
        return None if stack.is_deleted else stack

    def owns(self, stack: Stack) -> bool:
        """Return True if the stack has this project's tags. A stack that only holds a plan may have no tags yet."""
        return self._names.tags.items() <= stack.tags.items() or (stack.status == EMPTY and not stack.tags)

    def present_and_deleted(self, name: str) -> Iterator[Stack]:
        """Yield the project's stacks of this name, both the existing one and deleted ones."""
        existing = self.get_or_none(name)
        if existing and self.owns(existing):
            yield existing
        for summary in self._client.pages("list_stacks", "StackSummaries", StackStatusFilter=[GONE]):
            if summary["StackName"] == name:
                stack = _stack(self._client.describe_stacks(StackName=summary["StackId"])["Stacks"][0])
                if self.owns(stack):
                    yield stack

    def physical_ids(self, stack: Stack) -> tuple[set[str], float]:
        """Return the physical ids of all resources that the stack has or had, and the time of its last event.

        Resources that could not be created are excluded, for example because the name was taken. Events of old stacks
        expire. For deleted stacks they are the only source.
        """
        events = list(self._client.pages("describe_stack_events", "StackEvents", StackName=stack.id))
        failed = {entry["LogicalResourceId"] for entry in events if entry.get("ResourceStatus") == "CREATE_FAILED"}
        resources = self._client.pages("list_stack_resources", "StackResourceSummaries", StackName=stack.id)
        entries = [*resources, *events]
        ids = {entry.get("PhysicalResourceId", "") for entry in entries if entry["LogicalResourceId"] not in failed}
        return ids, max((entry["Timestamp"].timestamp() for entry in events), default=0.0)

    def find(self, name: str) -> Stack | None:
        """Return the project's stack of this name; raise MlopsError if another owner has it."""
        stack = self.get_or_none(name)
        if stack and not self.owns(stack):
            raise MlopsError(
                f"The stack {name} was not created by mlops: it has no tag mlops:project={self._names.use_case}.",
                "Choose another STAGE, or another name in usecase.toml.",
            )
        return stack

    def contents(self, stack: Stack) -> str:
        """Return the number of the stack's resources as text."""
        resources = self._client.pages("list_stack_resources", "StackResourceSummaries", StackName=stack.id)
        count = sum(
            1 for resource in resources if resource["ResourceStatus"] not in ("DELETE_COMPLETE", "DELETE_SKIPPED")
        )
        return f"{count} resources, {stack.status}"

    def outputs(self, name: str) -> dict[str, str] | None:
        """Return the outputs of a stack; None if it does not exist or is still being created."""
        stack = self.find(name)
        return stack.outputs if stack and stack.outputs else None

    def required(self, name: str) -> dict[str, str]:
        """Return a stack's outputs; raise MlopsError if it does not exist yet."""
        outputs = self.outputs(name)
        if outputs is None:
            raise MlopsError(
                f"The aws target is not set up yet: there is no stack {name} in {self._region}.",
                "Set it up: mlops deploy-infra",
            )
        return outputs

    def wait_until_stable(self, name: str, watch: Watch) -> Stack | None:
        """Return the stack once no operation is in progress, whether a killed command or another person started it."""
        stack = self.find(name)
        if stack is None or not stack.is_in_progress:
            return stack
        stable = _stack(StackOperation(self._client, stack.id).follow(watch))
        return None if stable.is_deleted else stable

    def prepare(self, spec: StackSpec, stack: Stack | None) -> ChangeSet | None:
        """Return the change set from a stable stack to the desired one; None if nothing would change."""
        if stack and stack.status not in (*STABLE, EMPTY):
            raise self._unusable(stack)
        return change_sets.prepare(self._client, spec, stack is None or stack.status == EMPTY)

    def discard(self, change_set: ChangeSet) -> None:
        change_sets.discard(self._client, change_set)

    def preview(self, spec: StackSpec) -> tuple[Change, ...]:
        """Return the resource types of a template, while a change set is not possible yet."""
        summary = self._client.get_template_summary(**spec.source)
        return tuple(Change(Action.ADD, kind) for kind in sorted(summary.get("ResourceTypes", ())))

    def execute(self, change_set: ChangeSet, watch: Watch) -> Stack:
        """Execute a change set and follow it to its end. Raise StackFailed with the first cause."""
        before = newest(self._client, change_set.stack_id)
        is_new = change_sets.execute(self._client, change_set)
        operation = StackOperation(self._client, change_set.stack_id, before if is_new else "")
        stack = _stack(operation.follow(watch))
        if stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            raise self._failed(stack, operation, "made" if change_set.creates else "changed")
        return stack

    def delete(self, stack: Stack, watch: Watch) -> None:
        """Delete a stack and wait until it is deleted. Raise StackFailed if one of its resources remains."""
        operation = StackOperation(self._client, stack.id, newest(self._client, stack.id))
        self._client.delete_stack(StackName=stack.id)
        ended = _stack(operation.follow(watch))
        if not ended.is_deleted:
            raise self._failed(ended, operation, "deleted")

    def delete_never_created(self, name: str, watch: Watch = no_watch) -> None:
        """Delete the project's stack if its creation failed: CloudFormation refuses every update of such a stack."""
        stack = self.find(name)
        if stack and stack.status in ENDING:
            stack = self.wait_until_stable(name, watch)
        if stack and stack.status in NEVER_CREATED:
            self.delete(stack, watch)

    def failure_reason(self, stack: Stack, since: float = 0.0) -> str:
        """Return why the stack's latest operation failed; empty if the operation started before ``since``."""
        operation = StackOperation(self._client, stack.id)
        began = next((event.at for event in operation.events()), since)
        if began < since:
            return ""
        cause = operation.cause()
        return f"{cause.name} ({cause.kind}): {cause.reason}" if cause else stack.reason

    def _failed(self, stack: Stack, operation: StackOperation, verb: str) -> StackFailed:
        cause = operation.cause()
        command = "mlops cleanup" if verb == "deleted" else "mlops deploy-infra"
        if cause is None:
            return StackFailed(
                f"The stack {stack.name} could not be {verb}: it is {stack.status}. {stack.reason}".rstrip(),
                f"Fix this, then repeat: {command}",
            )
        return StackFailed(
            f"The stack {stack.name} could not be {verb}: {cause.name} ({cause.kind}) is {cause.status}, "
            f"says AWS: {cause.reason}",
            f"{suggest_fix(cause)}, then repeat: {command}",
        )

    def _unusable(self, stack: Stack) -> MlopsError:
        if stack.status == "DELETE_FAILED":
            return MlopsError(
                f"The stack {stack.name} is partly deleted: {self.failure_reason(stack)}",
                "Finish that first: mlops cleanup",
            )
        return MlopsError(
            f"The stack {stack.name} is {stack.status} and accepts no changes: {self.failure_reason(stack)}",
            f"Repair it: aws cloudformation continue-update-rollback --stack-name {stack.name}",
        )


def _stack(description: dict[str, Any]) -> Stack:
    return Stack(
        name=description["StackName"],
        id=description["StackId"],
        status=description["StackStatus"],
        reason=description.get("StackStatusReason", ""),
        outputs={entry["OutputKey"]: entry["OutputValue"] for entry in description.get("Outputs", ())},
        parameters={
            entry["ParameterKey"]: entry.get("ParameterValue", "") for entry in description.get("Parameters", ())
        },
        tags={entry["Key"]: entry["Value"] for entry in description.get("Tags", ())},
    )
