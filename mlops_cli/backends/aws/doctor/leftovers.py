"""Check for stacks in a state that accepts no changes, and for resources of the project without a stack."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.cleanup.sagemaker import OrphanedResources, TaggedResources
from mlops_cli.backends.aws.cleanup.steps import Cleanup
from mlops_cli.backends.aws.clients.cloudformation import NEVER_CREATED, STABLE, Stack
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.infra.ownership import require_owner
from mlops_cli.backends.aws.state_format import check_format
from mlops_cli.core.checks import Finding, State, ok
from mlops_cli.errors import MlopsError


def failed_stacks(subject: CheckContext) -> Iterator[Finding]:
    names = subject.names
    for name in (names.storage_stack, names.pipeline_stack, names.endpoint_stack):
        stack = subject.stacks.get_or_none(name)
        if stack:
            yield _stack_finding(subject, stack)


def owner(subject: CheckContext) -> Iterator[Finding]:
    """Yield a failure if the stacks belong to another owner or have no owner."""
    try:
        require_owner(subject.stacks, subject.names, subject.settings, subject.account)
    except AwsError:
        raise
    except MlopsError as error:
        yield Finding(
            "owner", State.FAILURE, error.message, "Only the owner of the stacks may change them.", error.hint
        )


def _stack_finding(subject: CheckContext, stack: Stack) -> Finding:
    if not subject.stacks.owns(stack):
        return Finding(
            "stack",
            State.FAILURE,
            f"{stack.name} exists, but mlops did not create it for this project.",
            "mlops needs this name, and never changes a stack of others.",
            "Choose another STAGE, or another name in usecase.toml.",
        )
    if stack.status in STABLE:
        return ok("stack", f"{stack.name} is {stack.status}")
    if stack.is_in_progress or stack.status == "REVIEW_IN_PROGRESS":
        return Finding(
            "stack",
            State.WARNING,
            f"{stack.name} is {stack.status}.",
            "A command is changing it, or was killed while changing it.",
            "mlops deploy-infra waits for it and continues (mlops cleanup removes it)",
        )
    return _broken(subject, stack)


def _broken(subject: CheckContext, stack: Stack) -> Finding:
    why = f"It accepts no changes: {subject.stacks.failure_reason(stack)}"
    text = f"{stack.name} is {stack.status}."
    if stack.status == "DELETE_FAILED":
        return Finding("stack", State.FAILURE, text, why, "mlops cleanup")
    if stack.status not in NEVER_CREATED:
        bring_back = f"aws cloudformation continue-update-rollback --stack-name {stack.name}"
        return Finding("stack", State.FAILURE, text, why, f"{bring_back} --region {subject.account.region}")
    if stack.name == subject.names.endpoint_stack:
        return Finding("stack", State.WARNING, text, why, "Fix this, then mlops run: it deletes the stack first")
    return Finding("stack", State.WARNING, text, why, "mlops deploy-infra creates it again")


def records(subject: CheckContext) -> Iterator[Finding]:
    """Check that the records in the bucket have this version's format."""
    stack = subject.own_stack(subject.names.storage_stack)
    if stack is None or not stack.outputs.get("BucketName"):
        return
    try:
        check_format(Bucket(subject.account.client("s3"), stack.outputs["BucketName"], subject.names.key_prefix))
    except AwsError:
        raise
    except MlopsError as error:
        yield Finding("store", State.FAILURE, error.message, "All runs and decisions are in it.", error.hint)


def orphaned_resources(subject: CheckContext) -> Iterator[Finding]:
    resources = list(_resources_outside_stacks(subject))
    for resource in resources:
        yield Finding(
            "leftovers",
            State.WARNING,
            f"{resource} belongs to this project, but is in none of its stacks.",
            "It may cost money, and may block the next deployment.",
            "mlops cleanup",
        )
    if not resources:
        yield ok("leftovers", "nothing outside of the project's stacks")


def _resources_outside_stacks(subject: CheckContext) -> Iterator[str]:
    """Yield all that a cleanup would find if no stack exists, else endpoints and models that have no stack."""
    names, account = subject.names, subject.account
    stacks = (names.storage_stack, names.pipeline_stack, names.endpoint_stack)
    if not any(subject.own_stack(name) for name in stacks):
        plan = Cleanup(subject.project, subject.endpoint, account, names, keep_data=False).plan()
        yield from (change.resource for change in plan.active)
    elif not subject.own_stack(names.endpoint_stack):
        client = account.client("sagemaker")
        orphans = OrphanedResources(client, TaggedResources(client, names, subject.endpoint))
        yield from (change.resource for change in orphans.list_resources())
