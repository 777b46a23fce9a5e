"""Stack events as CloudFormation reports them: the start with its caller, physical ids, and cancelled resources."""

from __future__ import annotations

from typing import Any

from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, stacks

STACK = "AWS::CloudFormation::Stack"
CANCELLED = "Resource {} cancelled"


def install() -> None:
    add = stacks._add_event

    def added(
        stack_id: str,
        stack_name: str,
        logical_id: str,
        resource_type: str,
        status: str,
        reason: str = "",
        physical_id: str = "",
        detailed_status: str = "",
    ) -> None:
        own = (stack_id, stack_name)
        if resource_type == STACK:
            if status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS", "REVIEW_IN_PROGRESS"):
                reason = reason or "User Initiated"
            add(*own, logical_id, resource_type, status, reason, physical_id, detailed_status)
            return
        if status == "CREATE_COMPLETE":
            add(*own, logical_id, resource_type, "CREATE_IN_PROGRESS", "Resource creation Initiated", physical_id)
        beside = _beside(stack_id, stack_name, logical_id) if status == "CREATE_FAILED" else None
        if beside:
            add(*own, *beside, "CREATE_IN_PROGRESS")
        add(*own, logical_id, resource_type, status, reason, physical_id, detailed_status)
        if beside:
            add(*own, *beside, "CREATE_FAILED", CANCELLED.format("creation"))

    for module in (stacks, changesets, handlers):
        if hasattr(module, "_add_event"):
            module._add_event = added


def _beside(stack_id: str, stack_name: str, failed: str) -> tuple[str, str] | None:
    """Return a resource that AWS, which creates several at once, would have been creating when another one failed."""
    stack = cloudformation._stacks[stack_name]
    resources: dict[str, Any] = (stack.get("_template") or {}).get("Resources") or {}
    states = {event["LogicalResourceId"]: event["ResourceStatus"] for event in cloudformation._stack_events[stack_id]}
    conditions = stack.get("_conditions") or {}
    for name, resource in sorted(resources.items()):
        needs = engine._extract_deps(resource, set(resources))
        ready = all(states.get(need) == "CREATE_COMPLETE" for need in needs)
        if name not in states and name != failed and ready and conditions.get(resource.get("Condition"), True):
            return name, resource["Type"]
    return None
