"""A CloudFormation change set, used as a plan: create, read, execute or discard it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.stack_events import LISTED_APART, backoff_pauses, findings, suggest_fix
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.plan import Action, Change
from mlops_cli.core.progress import ResourceEvent
from mlops_cli.errors import MlopsError
from mlops_cli.files.hashing import digest_bytes

EMPTY = "REVIEW_IN_PROGRESS"
# The longest template that fits into a request.
INLINE_BYTES = 51_200
UNCHANGED = ("didn't contain changes", "No updates are to be performed")
# The data that is lost if a resource of this type is removed or replaced.
HOLDS = {
    "AWS::S3::Bucket": "all data, models and records in it",
    "AWS::CodeCommit::Repository": "all commits in it",
    "AWS::CodePipeline::Pipeline": "the history of its runs",
    "AWS::SageMaker::ModelPackageGroup": "the registered models",
    "AWS::SageMaker::Endpoint": "the live endpoint, until the new one is ready",
    "AWS::Logs::LogGroup": "the logs in it",
    "AWS::SNS::Topic": "its subscriptions",
    "AWS::KMS::Key": "all data encrypted with it",
}
# What the user has to do for a new resource of this type.
TO_DO = {"AWS::SNS::Subscription": "AWS sends one mail with a link; click it to get all other mails"}
VERBS = {"Add": Action.ADD, "Import": Action.ADD, "Modify": Action.CHANGE, "Remove": Action.REMOVE}


@dataclass(frozen=True)
class StackSpec:
    """The desired state of a stack. ``template_url``: the address of a template that is too long for a request."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    template_url: str = ""

    @property
    def source(self) -> dict[str, str]:
        """Return the template as an argument of CloudFormation's API."""
        return {"TemplateURL": self.template_url} if self.template_url else {"TemplateBody": self.template}

    @property
    def change_set(self) -> str:
        """Return a name derived from the content, so that only the change set that was shown can be executed."""
        parts = [
            self.template,
            *(f"{name}={value}" for name, value in sorted({**self.parameters, **self.tags}.items())),
        ]
        return f"mlops-{digest_bytes(chr(0).join(parts).encode())[:20]}"


@dataclass(frozen=True)
class ChangeSet:
    """``creates``: the stack is new and empty, and is useless without this change set."""

    id: str
    stack: str
    stack_id: str
    creates: bool
    changes: tuple[Change, ...]


def prepare(client: Client, spec: StackSpec, creates: bool) -> ChangeSet | None:
    """Return the change set for the desired stack, and create it if needed; None if nothing would change."""
    description = _describe(client, spec)
    if description and (description["Status"], description["ExecutionStatus"]) != ("CREATE_COMPLETE", "AVAILABLE"):
        client.delete_change_set(StackName=spec.name, ChangeSetName=spec.change_set)
        description = _describe(client, spec)
    if description is None:
        _create(client, spec, "CREATE" if creates else "UPDATE")
        description = _describe(client, spec)
    if description is None:
        raise MlopsError(f"Another command is planning the stack {spec.name}.", "Repeat the command.")
    change_set = ChangeSet(
        description["ChangeSetId"], spec.name, description["StackId"], creates, _changes(client, description)
    )
    if description["Status"] == "CREATE_COMPLETE":
        return change_set
    reason = description.get("StatusReason", "no reason given")
    wrong = findings(client, ChangeSetName=change_set.id) if LISTED_APART in reason else []
    discard(client, change_set)
    if any(unchanged in reason for unchanged in UNCHANGED):
        return None
    raise _plan_error(spec, reason, wrong)


def _plan_error(spec: StackSpec, reason: str, wrong: list[ResourceEvent]) -> MlopsError:
    listed = "; ".join(f"{event.name} ({event.kind}): {event.reason}" for event in wrong)
    first = suggest_fix(wrong[0]) if wrong else "Fix this in templates/ or the settings"
    return MlopsError(
        f"CloudFormation cannot plan the stack {spec.name}: {listed or reason}", f"{first}, then repeat the command."
    )


def discard(client: Client, change_set: ChangeSet) -> None:
    """Delete a change set that was not executed, and the stack if it was created only to hold the change set."""
    try:
        client.delete_change_set(ChangeSetName=change_set.id)
    except AwsError as error:
        if not error.is_not_found:
            raise
    if change_set.creates and _status(client, change_set) == EMPTY:
        client.delete_stack(StackName=change_set.stack_id)
        for pause in backoff_pauses():
            if _status(client, change_set) == "DELETE_COMPLETE":
                return
            time.sleep(pause)


def _status(client: Client, change_set: ChangeSet) -> str:
    return str(client.describe_stacks(StackName=change_set.stack_id)["Stacks"][0]["StackStatus"])


def execute(client: Client, change_set: ChangeSet) -> bool:
    """Start to execute the change set. Return False if an earlier attempt started it and the response was lost."""
    try:
        client.execute_change_set(ChangeSetName=change_set.id, ClientRequestToken=change_set.id.rsplit("/", 1)[-1])
    except AwsError as error:
        if error.code not in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException"):
            raise
        state = client.describe_change_set(ChangeSetName=change_set.id)["ExecutionStatus"]
        if state not in ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED"):
            raise
        return False
    return True


def _describe(client: Client, spec: StackSpec) -> dict[str, Any] | None:
    """Return the change set once it is neither being created nor being deleted; None if it does not exist."""
    for pause in backoff_pauses():
        try:
            description: dict[str, Any] = client.describe_change_set(StackName=spec.name, ChangeSetName=spec.change_set)
        except AwsError as error:
            if error.is_not_found:
                return None
            raise
        if not description["Status"].endswith(("_PENDING", "_IN_PROGRESS")):
            return description
        time.sleep(pause)
    raise AssertionError


def _create(client: Client, spec: StackSpec, kind: str) -> None:
    try:
        client.create_change_set(
            StackName=spec.name,
            ChangeSetName=spec.change_set,
            ChangeSetType=kind,
            **spec.source,
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in spec.parameters.items()],
            Tags=[{"Key": name, "Value": value} for name, value in spec.tags.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
    except AwsError as error:
        if error.code not in ("AlreadyExistsException", "AlreadyExists"):  # the response to a first attempt was lost
            raise


def _changes(client: Client, description: dict[str, Any]) -> tuple[Change, ...]:
    if description["Status"] != "CREATE_COMPLETE":
        return ()
    pages = client.pages("describe_change_set", "Changes", ChangeSetName=description["ChangeSetId"])
    return tuple(as_change(change["ResourceChange"]) for change in pages if "ResourceChange" in change)


def as_change(resource: Mapping[str, Any]) -> Change:
    """Return one resource's change for the plan, and the data that is lost if the resource holds any."""
    kind = resource["ResourceType"]
    description = f"{kind} {resource['LogicalResourceId']}"
    verb = VERBS.get(resource["Action"], Action.CHANGE)
    replacement = resource.get("Replacement", "False")
    retained = "Retain" in resource.get("PolicyAction", "")
    if verb is Action.CHANGE and replacement != "False":
        verb = Action.REPLACE
    gone = verb is Action.REMOVE or verb is Action.REPLACE
    loses = HOLDS.get(kind, "") if gone and not retained else ""
    to_do = TO_DO.get(kind, "") if verb is Action.ADD or verb is Action.REPLACE else ""
    reason = "; ".join(part for part in (_why(resource, replacement, retained), to_do) if part)
    return Change(verb, description, reason, loses)


def _why(resource: Mapping[str, Any], replacement: str, retained: bool) -> str:
    names = [
        detail.get("Target", {}).get("Name") or detail.get("Target", {}).get("Attribute", "")
        for detail in resource.get("Details", ())
    ]
    changed = ", ".join(sorted({name for name in names if name}))
    parts = [
        f"{changed} changed" if changed else "",
        "only if the new value differs" if replacement == "Conditional" else "",
        "it stays in the account, outside of any stack" if retained else "",
    ]
    return "; ".join(part for part in parts if part)
