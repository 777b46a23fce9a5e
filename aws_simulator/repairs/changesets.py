"""CreateChangeSet: conditions count, early validation fails it, and a stack keeps its id while it is in review."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import iam_actions
from ministack.services import cloudformation, cloudwatch_logs
from ministack.services.cloudformation import changesets, engine, handlers, stacks
from ministack.services.cloudformation.helpers import _error, _p

from aws_simulator.repairs.existing import LOG_GROUP, conflict

Handler = Callable[[Mapping[str, Any]], Any]
FAILED = (
    "The following hook(s)/validation failed: [{}]. "
    "To troubleshoot Early Validation errors, use the DescribeEvents API for detailed failure information."
)
CHECKS = {
    "NAME_CONFLICT_VALIDATION": "AWS::EarlyValidation::ResourceExistenceCheck",
    "PROPERTY_VALIDATION": "AWS::EarlyValidation::PropertyValidation",
}


def install() -> None:
    actions = handlers._ACTION_HANDLERS
    actions["CreateChangeSet"] = _create(actions["CreateChangeSet"])
    actions["CreateStack"] = _create_stack(actions["CreateStack"])
    actions["DescribeEvents"] = _describe_events(actions["DescribeEvents"])
    resolve = changesets._resolve_props_for_diff

    def with_conditions(template: dict[str, Any], params: dict[str, Any], *stack: str) -> dict[str, Any]:
        return dict(resolve(_chosen(template, params), params, *stack))

    changesets._resolve_props_for_diff = with_conditions
    _look_at_stacks()


def _look_at_stacks() -> None:
    """Check the permissions on a change set on its stack, except those to describe its events (AWS's reference)."""
    extract = iam_actions.extract_resource_arn

    def extracted(
        service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *more: Any
    ) -> Any:
        extracted = extract(service, method, path, headers, body, query, *more)
        of_events = _p(query, "Action") == "DescribeEvents"
        change_set = (
            cloudformation._change_sets.get(_p(query, "ChangeSetName")) if service == "cloudformation" else None
        )
        return change_set["StackId"] if change_set and not of_events else extracted

    iam_actions.extract_resource_arn = extracted


def _chosen(template: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the template without resources whose condition is false: they do not belong to the stack."""
    conditions = engine._evaluate_conditions(template, params) if template else {}
    kept = {
        name: resource
        for name, resource in (template.get("Resources") or {}).items()
        if conditions.get(resource.get("Condition"), True)
    }
    return {**template, "Resources": kept} if template else template


def _create(create: Handler) -> Handler:
    def created(params: Mapping[str, Any]) -> Any:
        name = _p(params, "StackName")
        before = dict(handlers._resolve_stack(name) or {})
        if before.get("StackStatus") == "ROLLBACK_COMPLETE":
            message = f"Stack:{before['StackId']} is in ROLLBACK_COMPLETE state and can not be updated."
            return _error("ValidationError", message)
        answer = create(params)
        change_sets, set_name = cloudformation._change_sets.values(), _p(params, "ChangeSetName")
        matches = [change_set for change_set in change_sets if change_set["ChangeSetName"] == set_name]
        if answer[0] != 200 or not matches:
            return answer
        change_set = matches[-1]
        if before.get("StackStatus") == "REVIEW_IN_PROGRESS":
            answer = _keep_id(change_set, before, answer)
        _validate(change_set)
        return answer

    return created


def _keep_id(change_set: dict[str, Any], before: Mapping[str, Any], answer: Any) -> Any:
    """Keep the id of a stack in review when a second change set is created for it."""
    stack = cloudformation._stacks[before["StackName"]]
    old, new = before["StackId"], stack["StackId"]
    stack["StackId"] = change_set["StackId"] = old
    stack["CreationTime"] = before["CreationTime"]
    cloudformation._stack_events.pop(new, None)
    status, headers, body = answer
    return status, headers, body.replace(new.encode(), old.encode())


def _validate(change_set: dict[str, Any]) -> None:
    """Fail the change set if a resource cannot be created, as CloudFormation's early validation does."""
    if change_set["Status"] != "CREATE_COMPLETE" or change_set["_disable_validation"]:
        return
    template, params = change_set["_template"], change_set["_resolved_params"]
    conditions = engine._evaluate_conditions(template, params)
    stack = cloudformation._stacks[change_set["StackName"]]
    owned = frozenset(resource["PhysicalResourceId"] for resource in stack.get("_resources", {}).values())
    resources = _chosen(template, params)["Resources"]
    context = (params, conditions, template.get("Mappings", {}), change_set["StackName"], change_set["StackId"])
    errors = stacks._validation_errors(resources, list(resources), *context, owned)
    errors += _log_groups(resources, context, owned)
    if not errors:
        return
    checks = sorted({CHECKS[error[2]] for error in errors})
    change_set.update(Status="FAILED", ExecutionStatus="UNAVAILABLE", StatusReason=FAILED.format(", ".join(checks)))
    change_set["_operation_events"] = [_event(change_set, error) for error in errors]


def _log_groups(resources: Mapping[str, Any], context: Any, owned: frozenset[str]) -> list[tuple[str, ...]]:
    groups = []
    for name, resource in resources.items():
        group = (resource.get("Properties") or {}).get("LogGroupName")
        if resource.get("Type") != LOG_GROUP or not group:
            continue
        value = stacks._static_property(group, resources, *context)
        if isinstance(value, str) and value in cloudwatch_logs._log_groups and value not in owned:
            reason = conflict(LOG_GROUP, value)
            groups.append((name, LOG_GROUP, "NAME_CONFLICT_VALIDATION", f"/Resources/{name}", reason))
    return groups


def _event(change_set: Mapping[str, Any], error: tuple[str, ...]) -> dict[str, Any]:
    logical_id, kind, check, path, reason = error
    return stacks._operation_event(
        change_set["StackId"],
        change_set["ChangeSetId"].rpartition("/")[2],
        "VALIDATION_ERROR",
        "CREATE_CHANGESET",
        LogicalResourceId=logical_id,
        ResourceType=kind,
        ValidationFailureMode="FAIL",
        ValidationName=check,
        ValidationStatus="FAILED",
        ValidationStatusReason=reason,
        ValidationPath=path,
    )


def _create_stack(create: Handler) -> Handler:
    def created(params: Mapping[str, Any]) -> Any:
        name = _p(params, "StackName")
        stack = handlers._resolve_stack(name)
        if stack and stack.get("StackStatus") == "ROLLBACK_COMPLETE":
            return _error("AlreadyExistsException", f"Stack [{name}] already exists")
        return create(params)

    return created


def _describe_events(describe: Handler) -> Handler:
    """Return the findings of early validation, too, by the change set or by its stack."""

    def described(params: Mapping[str, Any]) -> Any:
        name, of = _p(params, "ChangeSetName"), _p(params, "StackName")
        named = ("ChangeSetName", "ChangeSetId") if name else ("StackName", "StackId")
        matches = [
            event
            for change_set in cloudformation._change_sets.values()
            if (name or of) in [change_set[name] for name in named]
            for event in change_set.get("_operation_events", [])
        ]
        stack = matches and cloudformation._stacks.get(matches[0]["StackId"].split("/")[1])
        if not stack:
            return describe(params)
        before = stack.get("_operation_events")
        stack["_operation_events"] = [*(before or []), *matches]
        try:
            remaining = {key: value for key, value in params.items() if key not in ("ChangeSetName", "StackName")}
            return describe({**remaining, "StackName": [stack["StackName"]]})
        finally:
            stack["_operation_events"] = before

    return described
