"""Stacks in every state that a command may meet, on the simulated CloudFormation."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.change_sets import StackSpec, as_change
from mlops_cli.backends.aws.clients.cloudformation import StackFailed, Stacks
from mlops_cli.backends.aws.clients.stack_events import first_cause, suggest_fix
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.core.plan import Action, Change
from mlops_cli.core.progress import ResourceEvent
from mlops_cli.errors import MlopsError

NAMES = ResourceNames("tiny", "dev")
NAME = NAMES.storage_stack
TOPIC = "Resources: {Topic: {Type: 'AWS::SNS::Topic', Properties: {DisplayName: %s}}}"
BROKEN = """
Resources:
  Topic: {Type: 'AWS::SNS::Topic'}
  Bucket: {Type: 'AWS::S3::Bucket', DependsOn: Topic, Properties: {BucketName: taken}}
  Other: {Type: 'AWS::SNS::Topic', DependsOn: Bucket}
"""
LATE = """
Resources:
  Topic: {Type: 'AWS::SNS::Topic'}
  Code:
    Type: AWS::CodeCommit::Repository
    DependsOn: Topic
    Properties: {RepositoryName: tiny-dev, Code: {S3: {Bucket: nobodys, Key: source.zip}}}
  Other: {Type: 'AWS::SNS::Topic', DependsOn: Code}
"""
SLOW = """
Resources:
  Handle: {Type: 'AWS::CloudFormation::WaitConditionHandle'}
  Wait: {Type: 'AWS::CloudFormation::WaitCondition', Properties: {Handle: !Ref Handle, Timeout: '30', Count: 1}}
"""


class Seen:
    """A Watch that keeps its events."""

    def __init__(self) -> None:
        self.events: list[ResourceEvent] = []

    def __call__(self, event: ResourceEvent) -> None:
        self.events.append(event)

    @property
    def words(self) -> list[str]:
        return [f"{event.name} {event.status}" for event in self.events]


@pytest.fixture
def stacks(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Stacks:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return Stacks(Account("us-east-1", ""), NAMES)


@pytest.fixture
def taken(aws: Aws) -> None:
    """Create a bucket with the name that the broken template uses."""
    aws.client("s3").create_bucket(Bucket="taken")


def wanted(template: str, name: str = NAME) -> StackSpec:
    return StackSpec(name, template, {}, NAMES.tags)


def made(stacks: Stacks, template: str, watch: Any = Seen) -> None:
    change_set = stacks.prepare(wanted(template), stacks.find(NAME))
    assert change_set
    stacks.execute(change_set, watch if isinstance(watch, Seen) else Seen())


def status(aws: Aws) -> str:
    return str(aws.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"][0]["StackStatus"])


def test_a_new_stack_is_planned_created_and_reported(stacks: Stacks) -> None:
    change_set = stacks.prepare(wanted(TOPIC % "a"), stacks.find(NAME))
    assert change_set
    assert change_set.changes == (Change(Action.ADD, "AWS::SNS::Topic Topic"),)
    seen = Seen()
    stacks.execute(change_set, seen)
    assert seen.words[0] == f"{NAME} CREATE_IN_PROGRESS"
    assert seen.words[-1] == f"{NAME} CREATE_COMPLETE"
    assert "Topic CREATE_COMPLETE" in seen.words
    assert len({(event.name, event.status, event.reason) for event in seen.events}) == len(seen.events)


def test_no_change_is_no_change_set_and_leaves_none(stacks: Stacks, aws: Aws) -> None:
    made(stacks, TOPIC % "a")
    assert stacks.prepare(wanted(TOPIC % "a"), stacks.find(NAME)) is None
    assert aws.client("cloudformation").list_change_sets(StackName=NAME)["Summaries"] == []


def test_the_plan_of_an_update_lists_its_changes(stacks: Stacks) -> None:
    made(stacks, TOPIC % "a")
    change_set = stacks.prepare(wanted(TOPIC % "b"), stacks.find(NAME))
    assert change_set
    (change,) = change_set.changes
    assert (change.action, change.resource) == (Action.CHANGE, "AWS::SNS::Topic Topic")
    assert "DisplayName" in change.reason
    seen = Seen()
    stacks.execute(change_set, seen)
    assert seen.words[0] == f"{NAME} UPDATE_IN_PROGRESS"


def test_the_same_plan_made_again_is_the_same_change_set(stacks: Stacks) -> None:
    first = stacks.prepare(wanted(TOPIC % "a"), stacks.find(NAME))
    assert first == stacks.prepare(wanted(TOPIC % "a"), stacks.find(NAME))
    assert first
    stacks.execute(first, Seen())


def test_a_discarded_plan_leaves_no_change_set(stacks: Stacks, aws: Aws) -> None:
    change_set = stacks.prepare(wanted(TOPIC % "a"), None)
    assert change_set
    assert status(aws) == "REVIEW_IN_PROGRESS"
    stacks.discard(change_set)
    assert stacks.get_or_none(NAME) is None
    stacks.discard(change_set)


def test_throwing_away_an_executed_plan_leaves_its_stack_alone(stacks: Stacks, aws: Aws) -> None:
    change_set = stacks.prepare(wanted(TOPIC % "a"), None)
    assert change_set
    stacks.execute(change_set, Seen())
    stacks.discard(change_set)
    assert status(aws) == "CREATE_COMPLETE"


def test_a_stack_that_a_killed_plan_has_left_empty_is_used(stacks: Stacks) -> None:
    stacks.prepare(wanted(TOPIC % "a"), None)
    stack = stacks.find(NAME)
    assert stack
    assert (stack.status, stack.is_in_progress) == ("REVIEW_IN_PROGRESS", False)
    made(stacks, TOPIC % "b")
    assert stacks.prepare(wanted(TOPIC % "b"), stacks.find(NAME)) is None


def test_carrying_out_twice_is_carried_out_once(stacks: Stacks) -> None:
    change_set = stacks.prepare(wanted(TOPIC % "a"), None)
    assert change_set
    stacks.execute(change_set, Seen())
    assert stacks.execute(change_set, Seen()).status == "CREATE_COMPLETE"


@pytest.mark.usefixtures("taken")
def test_an_impossible_plan_names_the_resource_and_the_fix(stacks: Stacks, aws: Aws) -> None:
    with pytest.raises(MlopsError, match=r"cannot plan .* Bucket \(AWS::S3::Bucket\): .*'taken' already ex") as caught:
        stacks.prepare(wanted(BROKEN), None)
    assert caught.value.hint.startswith("The bucket's name is taken: set another BUCKET_NAME")
    assert stacks.get_or_none(NAME) is None


def test_the_first_failed_resource_is_the_cause_and_not_the_cancelled_ones(stacks: Stacks, aws: Aws) -> None:
    change_set = stacks.prepare(wanted(LATE), None)
    assert change_set
    seen = Seen()
    with pytest.raises(StackFailed, match=r"Code \(AWS::CodeCommit::Repository\) is CREATE_FAILED, says AWS: "):
        stacks.execute(change_set, seen)
    assert status(aws) == "ROLLBACK_COMPLETE"
    assert "Topic DELETE_COMPLETE" in seen.words
    stack = stacks.find(NAME)
    assert stack
    assert stacks.failure_reason(stack).startswith("Code (AWS::CodeCommit::Repository): ")


def test_a_stack_whose_creation_failed_is_deleted_and_other_stacks_stay(stacks: Stacks, aws: Aws) -> None:
    stacks.delete_never_created(NAME)
    change_set = stacks.prepare(wanted(LATE), None)
    assert change_set
    with pytest.raises(StackFailed):
        stacks.execute(change_set, Seen())
    stacks.delete_never_created(NAME)
    assert stacks.get_or_none(NAME) is None
    made(stacks, TOPIC % "a")
    stacks.delete_never_created(NAME)
    assert status(aws) == "CREATE_COMPLETE"


def test_the_events_of_an_earlier_operation_are_no_reason(stacks: Stacks) -> None:
    """CloudFormation writes no event for an update that it refuses at once."""
    made(stacks, TOPIC % "a")
    change_set = stacks.prepare(wanted(LATE), stacks.find(NAME))
    assert change_set
    before = time.time() - 1
    with pytest.raises(StackFailed):
        stacks.execute(change_set, Seen())
    stack = stacks.find(NAME)
    assert stack
    assert stacks.failure_reason(stack, before).startswith("Code (AWS::CodeCommit::Repository): ")
    assert stacks.failure_reason(stack, time.time() + 1) == ""


def test_a_failed_change_is_rolled_back_and_takes_the_next_one(stacks: Stacks, aws: Aws) -> None:
    made(stacks, TOPIC % "a")
    change_set = stacks.prepare(wanted(LATE), stacks.find(NAME))
    assert change_set
    with pytest.raises(StackFailed, match="could not be changed: Code"):
        stacks.execute(change_set, Seen())
    assert status(aws) == "UPDATE_ROLLBACK_COMPLETE"
    made(stacks, TOPIC % "c")
    assert status(aws) == "UPDATE_COMPLETE"


def test_a_stack_that_is_busy_elsewhere_is_waited_for_and_watched(stacks: Stacks, aws: Aws) -> None:
    client = aws.client("cloudformation")
    tags = [{"Key": key, "Value": value} for key, value in NAMES.tags.items()]
    client.create_stack(StackName=NAME, TemplateBody=SLOW.replace("'30'", "'3'"), Tags=tags)
    stack = stacks.find(NAME)
    assert stack
    assert stack.is_in_progress
    seen = Seen()
    settled = stacks.wait_until_stable(NAME, seen)
    assert settled
    assert (settled.is_in_progress, settled.status) == (False, "ROLLBACK_COMPLETE")
    assert seen.words[0] == f"{NAME} CREATE_IN_PROGRESS"


def test_a_stack_that_is_being_deleted_is_waited_for(stacks: Stacks, aws: Aws) -> None:
    made(stacks, TOPIC % "a")
    threading.Timer(0.2, aws.client("cloudformation").delete_stack, kwargs={"StackName": NAME}).start()
    while stacks.find(NAME) and stacks.wait_until_stable(NAME, Seen()):
        time.sleep(0.05)
    assert stacks.wait_until_stable(NAME, Seen()) is None


def test_another_owners_stack_is_not_changed(stacks: Stacks, aws: Aws) -> None:
    aws.client("cloudformation").create_stack(StackName=NAME, TemplateBody=TOPIC % "a")
    with pytest.raises(MlopsError, match="was not created by mlops") as caught:
        stacks.find(NAME)
    assert "STAGE" in caught.value.hint


def test_deleting_is_followed_to_its_end(stacks: Stacks) -> None:
    made(stacks, TOPIC % "a")
    stack = stacks.find(NAME)
    assert stack
    assert stacks.contents(stack) == "1 resources, CREATE_COMPLETE"
    seen = Seen()
    stacks.delete(stack, seen)
    assert stacks.find(NAME) is None
    assert seen.words[-1] == f"{NAME} DELETE_COMPLETE"
    stacks.delete(stack, Seen())


def test_a_template_that_cannot_work_is_refused_with_awss_words(stacks: Stacks) -> None:
    with pytest.raises(MlopsError, match=r"Nonsense::Type"):
        stacks.prepare(wanted("Resources: {X: {Type: 'AWS::Nonsense::Type'}}"), None)


@pytest.mark.parametrize("state", ["DELETE_FAILED", "UPDATE_ROLLBACK_FAILED"])
def test_states_that_take_no_change_say_the_way_out(
    stacks: Stacks, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(stacks, TOPIC % "a")
    stack = stacks.find(NAME)
    assert stack
    broken = type(stack)(**{**vars(stack), "status": state, "reason": "x"})
    with pytest.raises(MlopsError, match="partly deleted" if state == "DELETE_FAILED" else state) as caught:
        stacks.prepare(wanted(TOPIC % "b"), broken)
    assert ("mlops cleanup" if state == "DELETE_FAILED" else "continue-update-rollback") in caught.value.hint


def resource(action: str, kind: str = "AWS::S3::Bucket", **more: Any) -> dict[str, Any]:
    return {"Action": action, "LogicalResourceId": "It", "ResourceType": kind, **more}


CHANGED = [{"Target": {"Attribute": "Properties", "Name": "BucketName"}}, {"Target": {"Attribute": "Tags"}}]


@pytest.mark.parametrize(
    ("passed", "change"),
    [
        (resource("Add"), Change(Action.ADD, "AWS::S3::Bucket It")),
        (resource("Remove"), Change(Action.REMOVE, "AWS::S3::Bucket It", "", "all data, models and records in it")),
        (
            resource("Remove", PolicyAction="Retain"),
            Change(Action.REMOVE, "AWS::S3::Bucket It", "it stays in the account, outside of any stack"),
        ),
        (resource("Remove", "AWS::IAM::Role"), Change(Action.REMOVE, "AWS::IAM::Role It")),
        (
            resource("Modify", Replacement="False", Details=CHANGED),
            Change(Action.CHANGE, "AWS::S3::Bucket It", "BucketName, Tags changed"),
        ),
        (
            resource("Modify", Replacement="True", PolicyAction="ReplaceAndDelete", Details=CHANGED[:1]),
            Change(Action.REPLACE, "AWS::S3::Bucket It", "BucketName changed", "all data, models and records in it"),
        ),
        (
            resource("Modify", "AWS::IAM::Role", Replacement="Conditional"),
            Change(Action.REPLACE, "AWS::IAM::Role It", "only if the new value differs"),
        ),
        (
            resource("Modify", "AWS::CodeCommit::Repository", Replacement="Conditional"),
            Change(
                Action.REPLACE,
                "AWS::CodeCommit::Repository It",
                "only if the new value differs",
                "all commits in it",
            ),
        ),
    ],
)
def test_a_change_names_replaced_resources_and_lost_data(passed: dict[str, Any], change: Change) -> None:
    assert as_change(passed) == change


def test_a_new_subscription_says_that_it_must_be_confirmed() -> None:
    added = {"Action": "Add", "ResourceType": "AWS::SNS::Subscription", "LogicalResourceId": "Subscription"}
    assert "one mail with a link; click it" in as_change(added).reason
    assert as_change({**added, "Action": "Remove"}).reason == ""


def event(name: str, kind: str, status: str, reason: str = "") -> ResourceEvent:
    return ResourceEvent("s", name, kind, status, reason)


def test_the_first_cause_is_no_consequence() -> None:
    events = [
        event("A", "AWS::SNS::Topic", "CREATE_COMPLETE"),
        event("B", "AWS::SNS::Topic", "CREATE_FAILED", "Resource creation cancelled"),
        event("C", "AWS::IAM::Role", "CREATE_FAILED", "the cause"),
        event("s", "AWS::CloudFormation::Stack", "ROLLBACK_IN_PROGRESS", "The following resource(s) failed: [C]"),
        event("D", "AWS::IAM::Role", "DELETE_FAILED", "later"),
    ]
    cause = first_cause(events)
    assert cause
    assert cause.name == "C"
    assert first_cause(events[:2]) is None


@pytest.mark.parametrize(
    ("kind", "message", "remedied"),
    [
        ("AWS::IAM::Role", "User: x is not authorized to perform: iam:CreateRole on resource: y", "iam:CreateRole"),
        ("AWS::S3::Bucket", "taken already exists", "set another BUCKET_NAME"),
        ("AWS::CodeCommit::Repository", "CreateRepository: OperationNotAllowedException", "--source s3"),
        ("AWS::CodeCommit::Repository", "Repository named x already exists", "REPOSITORY_NAME"),
        ("AWS::CodeBuild::Project", "Cannot have more than 0 (quota)", "Service Quotas"),
        ("AWS::Logs::LogGroup", "/aws/codebuild/x already exists in stack y", "Remove or rename"),
        ("AWS::SNS::Topic", "Invalid parameter", "Fix this"),
    ],
)
def test_a_cause_has_a_remedy(kind: str, message: str, remedied: str) -> None:
    assert remedied in suggest_fix(event("X", kind, "CREATE_FAILED", message))
