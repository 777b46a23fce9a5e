"""A CloudFormation change set as a plan: made, read, carried out or thrown away."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.events import LISTED_APART, findings, pauses
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.digest import digest_bytes
from mlops_cli.errors import MlopsError
from mlops_cli.plans import Action, Change

EMPTY = "REVIEW_IN_PROGRESS"
ABSENT = ("ChangeSetNotFound", "ChangeSetNotFoundException")
UNCHANGED = ("didn't contain changes", "No updates are to be performed")
# What is lost when a resource of this type is removed or replaced.
HOLDS = {
    "AWS::S3::Bucket": "all data, models and records in it",
    "AWS::CodeCommit::Repository": "all commits in it",
    "AWS::CodePipeline::Pipeline": "the history of its runs",
    "AWS::SageMaker::ModelPackageGroup": "the registered models",
    "AWS::SageMaker::Endpoint": "the live endpoint, until the new one is there",
    "AWS::Logs::LogGroup": "the logs in it",
    "AWS::SNS::Topic": "its subscriptions",
    "AWS::KMS::Key": "all that is encrypted with it",
}
VERBS = {"Add": Action.ADD, "Import": Action.ADD, "Modify": Action.CHANGE, "Remove": Action.REMOVE}


@dataclass(frozen=True)
class Wanted:
    """A stack as it shall be."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]

    @property
    def change_set(self) -> str:
        """A name that says what it is made from, so that the one that was shown is found and carried out."""
        parts = [
            self.template,
            *(f"{name}={value}" for name, value in sorted({**self.parameters, **self.tags}.items())),
        ]
        return f"mlops-{digest_bytes(chr(0).join(parts).encode())[:20]}"


@dataclass(frozen=True)
class ChangeSet:
    """``creates``: its stack holds nothing yet, and is of no use without it."""

    id: str
    stack: str
    stack_id: str
    creates: bool
    changes: tuple[Change, ...]


def prepare(client: Client, wanted: Wanted, creates: bool) -> ChangeSet | None:
    """The change set that makes the stack as wanted, made unless it is there; None when nothing would change."""
    found = _describe(client, wanted)
    if found and (found["Status"], found["ExecutionStatus"]) != ("CREATE_COMPLETE", "AVAILABLE"):
        client.delete_change_set(StackName=wanted.name, ChangeSetName=wanted.change_set)
        found = None
    if found is None:
        _create(client, wanted, "CREATE" if creates else "UPDATE")
        found = _ready(client, wanted)
    made = ChangeSet(found["ChangeSetId"], wanted.name, found["StackId"], creates, _changes(client, found))
    if found["Status"] == "CREATE_COMPLETE":
        return made
    why = _why_failed(client, found)
    discard(client, made)
    if any(said in why for said in UNCHANGED):
        return None
    raise MlopsError(
        f"CloudFormation cannot plan the stack {wanted.name}: {why}",
        "Put this right in templates/ or the settings, then repeat the command.",
    )


def _why_failed(client: Client, found: dict[str, Any]) -> str:
    said: str = found.get("StatusReason", "no reason given")
    if LISTED_APART not in said:
        return said
    listed = findings(client, ChangeSetName=found["ChangeSetId"])
    return "; ".join(f"{one.name} ({one.kind}): {one.reason}" for one in listed) or said


def discard(client: Client, made: ChangeSet) -> None:
    """Remove a change set that was not carried out; with it the stack that was made to hold it and holds nothing."""
    try:
        client.delete_change_set(ChangeSetName=made.id)
    except AwsError as error:
        if error.code not in ABSENT and "does not exist" not in error.said:
            raise
    if made.creates and _status(client, made) == EMPTY:
        client.delete_stack(StackName=made.stack_id)
        for pause in pauses():
            if _status(client, made) == "DELETE_COMPLETE":
                return
            time.sleep(pause)


def _status(client: Client, made: ChangeSet) -> str:
    return str(client.describe_stacks(StackName=made.stack_id)["Stacks"][0]["StackStatus"])


def execute(client: Client, made: ChangeSet) -> None:
    """Begin to carry it out; when an answer was lost on the way, not a second time."""
    try:
        client.execute_change_set(ChangeSetName=made.id, ClientRequestToken=made.id.rsplit("/", 1)[-1])
    except AwsError as error:
        if error.code not in ("InvalidChangeSetStatus", "InvalidChangeSetStatusException"):
            raise
        state = client.describe_change_set(ChangeSetName=made.id)["ExecutionStatus"]
        if state not in ("EXECUTE_IN_PROGRESS", "EXECUTE_COMPLETE", "EXECUTE_FAILED"):
            raise


def _describe(client: Client, wanted: Wanted) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = client.describe_change_set(StackName=wanted.name, ChangeSetName=wanted.change_set)
    except AwsError as error:
        if error.code in ABSENT or "does not exist" in error.said:
            return None
        raise
    return found


def _create(client: Client, wanted: Wanted, kind: str) -> None:
    try:
        client.create_change_set(
            StackName=wanted.name,
            ChangeSetName=wanted.change_set,
            ChangeSetType=kind,
            TemplateBody=wanted.template,
            Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in wanted.parameters.items()],
            Tags=[{"Key": name, "Value": value} for name, value in wanted.tags.items()],
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        )
    except AwsError as error:
        if error.code not in ("AlreadyExistsException", "AlreadyExists"):  # the answer to a first attempt was lost
            raise


def _ready(client: Client, wanted: Wanted) -> dict[str, Any]:
    for pause in pauses():
        found = _describe(client, wanted)
        if found and found["Status"] not in ("CREATE_PENDING", "CREATE_IN_PROGRESS"):
            return found
        time.sleep(pause)
    raise AssertionError


def _changes(client: Client, found: dict[str, Any]) -> tuple[Change, ...]:
    if found["Status"] != "CREATE_COMPLETE":
        return ()
    pages = client.pages("describe_change_set", "Changes", ChangeSetName=found["ChangeSetId"])
    return tuple(as_change(one["ResourceChange"]) for one in pages if "ResourceChange" in one)


def as_change(resource: Mapping[str, Any]) -> Change:
    """One resource's change in the plan's words; what holds something says what would be lost."""
    kind = resource["ResourceType"]
    what = f"{kind} {resource['LogicalResourceId']}"
    verb = VERBS.get(resource["Action"], Action.CHANGE)
    replacement = resource.get("Replacement", "False")
    retained = "Retain" in resource.get("PolicyAction", "")
    if verb is Action.CHANGE and replacement != "False":
        verb = Action.REPLACE
    gone = verb is Action.REMOVE or verb is Action.REPLACE
    loses = HOLDS.get(kind, "") if gone and not retained else ""
    return Change(verb, what, _why(resource, replacement, retained), loses)


def _why(resource: Mapping[str, Any], replacement: str, retained: bool) -> str:
    names = [
        detail.get("Target", {}).get("Name") or detail.get("Target", {}).get("Attribute", "")
        for detail in resource.get("Details", ())
    ]
    changed = ", ".join(sorted({name for name in names if name}))
    words = [
        f"{changed} changed" if changed else "",
        "only if its value turns out to be another" if replacement == "Conditional" else "",
        "it stays in the account, nobody's any more" if retained else "",
    ]
    return "; ".join(word for word in words if word)
