"""Stacks in a state that takes no changes, and what is left of the project although its stack is gone."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.subject import Subject
from mlops_cli.backends.aws.remains import Strays, Tagged
from mlops_cli.backends.aws.stacks import STILLBORN, WELL, Stack
from mlops_cli.backends.aws.teardown import Teardown
from mlops_cli.doctor import Finding, State, ok


def stacks_in_trouble(subject: Subject) -> Iterator[Finding]:
    names = subject.names
    for name in (names.storage_stack, names.pipeline_stack, names.endpoint_stack):
        stack = subject.stacks.peek(name)
        if stack:
            yield _judged(subject, stack)


def _judged(subject: Subject, stack: Stack) -> Finding:
    if not subject.stacks.owns(stack):
        return Finding(
            "stack",
            State.FAILURE,
            f"{stack.name} is there, and mlops did not make it for this project.",
            "mlops would need the name, and leaves alone what is not its own.",
            "Choose another STAGE, or another name in training/usecase.toml.",
        )
    if stack.status in WELL:
        return ok("stack", f"{stack.name} is {stack.status}")
    if stack.busy or stack.status == "REVIEW_IN_PROGRESS":
        return Finding(
            "stack",
            State.WARNING,
            f"{stack.name} is {stack.status}.",
            "Something is being done with it, or a command that did was killed.",
            "mlops deploy-infra waits for it and goes on (mlops cleanup removes it)",
        )
    return _broken(subject, stack)


def _broken(subject: Subject, stack: Stack) -> Finding:
    why = f"It takes no changes: {subject.stacks.why(stack)}"
    text = f"{stack.name} is {stack.status}."
    if stack.status == "DELETE_FAILED":
        return Finding("stack", State.FAILURE, text, why, "mlops cleanup")
    if stack.status not in STILLBORN:
        bring_back = f"aws cloudformation continue-update-rollback --stack-name {stack.name}"
        return Finding("stack", State.FAILURE, text, why, f"{bring_back} --region {subject.account.region}")
    if stack.name == subject.names.endpoint_stack:
        delete = f"aws cloudformation delete-stack --stack-name {stack.name} --region {subject.account.region}"
        return Finding("stack", State.FAILURE, text, why, f"{delete}, then mlops run")
    return Finding("stack", State.WARNING, text, why, "mlops deploy-infra makes it anew")


def left_overs(subject: Subject) -> Iterator[Finding]:
    found = list(_remains(subject))
    for what in found:
        yield Finding(
            "left-overs",
            State.WARNING,
            f"{what} is left of this project, and in none of its stacks.",
            "It may cost something, and may be in the way of what is made next.",
            "mlops cleanup",
        )
    if not found:
        yield ok("left-overs", "nothing outside of the project's stacks")


def _remains(subject: Subject) -> Iterator[str]:
    """Without any stack all that a cleanup would still find; else endpoints and models whose stack is gone."""
    names, account = subject.names, subject.account
    stacks = (names.storage_stack, names.pipeline_stack, names.endpoint_stack)
    if not any(subject.own_stack(name) for name in stacks):
        plan = Teardown(subject.project, subject.endpoint, account, names, keep_data=False).plan()
        yield from (change.what for change in plan.active)
    elif not subject.own_stack(names.endpoint_stack):
        client = account.client("sagemaker")
        strays = Strays(client, Tagged(client, names, subject.endpoint))
        yield from (change.what for change in strays.look())
