"""Change sets for the tests in this folder: create, read and execute them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aws_simulator.accounts import eventually, settled
from aws_simulator.fixture import Aws

Template = Mapping[str, Any]


def plan(aws: Aws, stack: str, template: Template, create: bool = True, name: str = "", **parameters: str) -> Any:
    """Create a change set. Return its description when it is complete."""
    cloudformation, name = aws.client("cloudformation"), name or ("plan" if create else "change")
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType="CREATE" if create else "UPDATE",
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )

    def ended() -> Any:
        change_set = cloudformation.describe_change_set(StackName=stack, ChangeSetName=name)
        return change_set["Status"] in ("CREATE_COMPLETE", "FAILED") and change_set

    return eventually(ended)


def execute(aws: Aws, stack: str, name: str = "plan") -> str:
    aws.client("cloudformation").execute_change_set(StackName=stack, ChangeSetName=name)
    return settled(aws, stack)


def carried_out(aws: Aws, stack: str, template: Template, create: bool = True, **parameters: str) -> str:
    change_set = plan(aws, stack, template, create, **parameters)
    assert change_set["Status"] == "CREATE_COMPLETE", change_set["StatusReason"]
    return execute(aws, stack, change_set["ChangeSetName"])


def changes(change_set: Any) -> dict[str, tuple[str, str]]:
    """Return the action by logical id, and True for a replacement."""
    rows = [change["ResourceChange"] for change in change_set["Changes"]]
    return {row["LogicalResourceId"]: (row["Action"], row.get("Replacement", "")) for row in rows}


def events(aws: Aws, stack: str) -> list[tuple[str, str, str]]:
    """Return (logical id, status, reason), the oldest first."""
    stack_events = aws.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    names = ("LogicalResourceId", "ResourceStatus", "ResourceStatusReason")
    return [tuple(stack_event.get(name, "") for name in names) for stack_event in reversed(stack_events)]  # type: ignore[misc]
