"""Recorded responses of the real AWS, read by the clients: a second check besides the simulated AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from mlops_cli.backends.aws.clients import change_sets, codepipeline, pricing
from mlops_cli.backends.aws.clients.change_sets import StackSpec
from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Pipeline
from mlops_cli.backends.aws.clients.pricing import Product, Quote
from mlops_cli.backends.aws.clients.stack_events import StackOperation
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.costs import Price, Unit
from mlops_cli.core.plan import Action, Change

FOLDER = Path(__file__).parent / "recorded"
EXECUTION = "00000000-0000-4000-8000-00000000000a"
TIMES = ("startTime", "lastUpdateTime", "lastStatusChange", "created", "updated", "Timestamp")


def recorded(service: str) -> dict[str, Any]:
    def timed(members: dict[str, Any]) -> dict[str, Any]:
        return {
            name: datetime.fromtimestamp(value, timezone.utc) if name in TIMES else value
            for name, value in members.items()
        }

    return dict(json.loads((FOLDER / f"{service}.json").read_text(), object_hook=timed))


class Recorded:
    """A client that returns each operation's recorded responses in order, and the last one forever."""

    def __init__(self, **answers: list[Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**_: Any) -> Any:
            self.calls.append(operation)
            remaining = self.answers[operation]
            answer = remaining.pop(0) if len(remaining) > 1 else remaining[0]
            if error := answer.get("Error"):
                raise AwsError(error["Message"], "", code=error["Code"], aws_message=error["Message"])
            return answer

        return call

    def pages(self, operation: str, items: str, **_: Any) -> Iterator[Any]:
        return iter(getattr(self, operation)()[items])


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codepipeline, "LOOK_SECONDS", 0.0)


def pipeline(**answers: list[Any]) -> Pipeline:
    client: Any = Recorded(**answers)
    return Pipeline(client, "mlops-tiny-dev-pipeline")


def test_an_approval_is_decided_about_though_the_state_does_not_know_it_for_seconds() -> None:
    recording = recorded("codepipeline")
    early, later = (recording[f"state {when} seconds after the approval began"] for when in ("five", "ten"))
    actions = [recording["actions all the while"]]
    ours = pipeline(get_pipeline_state=[early, early, later], list_action_executions=actions)
    assert ours.token(EXECUTION, "approval", "decision") == ""
    assert ours.awaited_token(EXECUTION, "approval", "decision") == "00000000-0000-4000-8000-0000000000a2"


def test_actions_without_a_result_and_with_one() -> None:
    ours = pipeline(list_action_executions=[recorded("codepipeline")["actions all the while"]])
    source, decision = ours.actions(EXECUTION)
    exported = {"ObjectKey": "source.zip", "VersionId": "L9zExampleVersion"}
    assert exported.items() <= source.variables.items()
    assert replace(source, variables={}) == ActionRun(
        "Source", "source", "Succeeded", 0.4, 1.6, "S3", "", "Amazon S3 version id: L9zExampleVersion",
        "L9zExampleVersion", version=1,
    )  # fmt: skip
    assert decision == ActionRun("approval", "decision", "InProgress", 2.2, 2.2, "Manual", version=1)


def test_the_execution_of_a_new_pipeline_is_stopped_once_it_is_listed() -> None:
    recording = recorded("codepipeline")
    listed = [recording["executions just after CreatePipeline"], recording["executions two seconds later"]]
    ours = pipeline(list_pipeline_executions=listed, stop_pipeline_execution=[{}])
    ours.stop_first(is_new=True)
    client: Any = ours._client
    assert client.calls == ["list_pipeline_executions", "list_pipeline_executions", "stop_pipeline_execution"]
    assert list(ours.executions()) == [], "it is no run"


def test_a_waiting_approval_of_an_older_version_of_the_pipeline_waits_in_vain() -> None:
    recording = recorded("codepipeline")
    state = recording["state ten seconds after the approval began"]
    ours = pipeline(
        get_pipeline_state=[state, {**state, "pipelineVersion": 2}],
        list_action_executions=[recording["actions all the while"]],
    )
    actions = ours.actions(EXECUTION)
    assert [ours.is_outdated(actions), ours.is_outdated(actions)] == [False, True]


@pytest.mark.parametrize(
    ("result", "error"),
    [
        ({"externalExecutionSummary": "Build terminated with state: FAILED"}, "Build terminated with state: FAILED"),
        ({"errorDetails": {"code": "JobFailed"}, "externalExecutionSummary": "no"}, "no"),
        ({"errorDetails": {"code": "JobFailed", "message": "so it is"}, "externalExecutionSummary": "no"}, "so it is"),
        ({}, ""),
    ],
)
def test_why_an_action_failed_stands_in_either_place(result: dict[str, Any], error: str) -> None:
    (_, detail) = recorded("codepipeline")["actions all the while"]["actionExecutionDetails"]
    failed = {**detail, "status": "Failed", "output": {**detail["output"], "executionResult": result}}
    ours = pipeline(list_action_executions=[{"actionExecutionDetails": [failed]}])
    assert ours.actions(EXECUTION)[0].error == error


MACHINE = "arn:aws:states:us-east-1:000000000000:stateMachine:mlops-tiny-dev-pipeline"
ARN = MACHINE.replace("stateMachine", "execution") + ":00000000-0000-4000-8000-0000000000a1"


@pytest.mark.parametrize("external", ["", "00000000-0000-4000-8000-0000000000a1", ARN], ids=["none yet", "name", "arn"])
def test_the_execution_of_a_state_machine_is_found_with_any_action_id(external: str) -> None:
    (_, detail) = recorded("codepipeline")["actions all the while"]["actionExecutionDetails"]
    machine = {
        "actionTypeId": {"category": "Invoke", "owner": "AWS", "provider": "StepFunctions", "version": "1"},
        "configuration": {"StateMachineArn": MACHINE, "InputType": "FilePath", "Input": "request.json"},
    }
    result = {"executionResult": {"externalExecutionId": external}} if external else {}
    action = {**detail, "status": "InProgress", "input": machine, "output": {"outputArtifacts": [], **result}}
    ours = pipeline(list_action_executions=[{"actionExecutionDetails": [action]}])
    assert ours.actions(EXECUTION)[0].external == ARN


def spec() -> StackSpec:
    return StackSpec("mlops-tiny-dev-storage", "Resources: {}", {}, {})


def test_a_change_of_a_property_is_read_from_its_change_set() -> None:
    change = recorded("cloudformation")["a change set that changes a property"]
    client: Any = Recorded(describe_change_set=[change])
    prepared = change_sets.prepare(client, spec(), creates=False)
    assert prepared is not None
    assert prepared.changes == (Change(Action.CHANGE, "AWS::SQS::Queue Queue", "DelaySeconds changed"),)


def test_the_name_of_a_change_set_that_was_executed_is_free_again() -> None:
    recording = recorded("cloudformation")
    gone, change = recording["an executed change set by its name"], recording["a change set that changes a property"]
    client: Any = Recorded(describe_change_set=[gone, change], create_change_set=[{"Id": "arn", "StackId": "arn"}])
    assert change_sets.prepare(client, spec(), creates=False) is not None
    assert client.calls[:3] == ["describe_change_set", "create_change_set", "describe_change_set"]


def test_a_change_set_is_not_executed_twice_after_a_lost_response() -> None:
    recording = recorded("cloudformation")
    client: Any = Recorded(
        describe_change_set=[
            recording["a change set that changes a property"],
            recording["an executed change set by its ARN"],
        ],
        execute_change_set=[recording["an executed change set executed again"]],
    )
    prepared = change_sets.prepare(client, spec(), creates=False)
    assert prepared is not None
    client.answers["describe_change_set"] = [recording["an executed change set by its ARN"]]
    assert change_sets.execute(client, prepared) is False


@pytest.mark.parametrize("older", [0, 1], ids=["its only operation", "with older ones"])
def test_the_cause_of_a_creation_that_failed_is_the_resource_and_not_the_rollback(older: int) -> None:
    recording = recorded("cloudformation")["events of a creation that failed and was rolled back"]
    events = recording["StackEvents"]
    client: Any = Recorded(describe_stack_events=[{"StackEvents": events + events[-1:] * older}])
    operation = StackOperation(client, events[0]["StackId"])
    shown = operation.events()
    assert [event.status for event in shown[:2]] == ["CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS"]
    assert (len(shown), shown[-1].status) == (12, "ROLLBACK_COMPLETE")
    cause = operation.cause()
    assert cause is not None
    assert (cause.name, cause.kind, cause.status) == ("BadQueue", "AWS::SQS::Queue", "CREATE_FAILED")
    assert "Reason: Dead letter target does not exist." in cause.reason


def test_a_stack_is_followed_from_its_first_new_event_to_the_end_of_the_rollback() -> None:
    recording = recorded("cloudformation")["events of a creation that failed and was rolled back"]
    events, seen = recording["StackEvents"], []
    answers = [{"StackEvents": events[count:]} for count in (12, 6, 0)]
    states = [{"Stacks": [{"StackStatus": status}]} for status in ("CREATE_IN_PROGRESS",) * 2 + ("ROLLBACK_COMPLETE",)]
    client: Any = Recorded(describe_stack_events=answers, describe_stacks=states)
    stack = StackOperation(client, events[0]["StackId"]).follow(seen.append)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [event.at for event in seen] == sorted(event["Timestamp"].timestamp() for event in events)


INSTANCE = "an instance of EC2 in eu-west-1, January 2021, with two of its twelve reserved terms"
VOLUME = "a volume of EC2 in eu-west-1, January 2021"


def test_the_price_on_demand_is_read_from_a_product_and_no_reserved_one() -> None:
    offers = [recorded("pricing")[name] for name in (VOLUME, INSTANCE)]
    product = Product("AmazonEC2", "BoxUsage:t2.micro", Unit.HOUR)
    assert pricing.quote(product, offers, 7.0) == Quote(Price(0.0126, Unit.HOUR, "2021-01-15T19:50:25Z", 7.0))


@pytest.mark.parametrize(
    ("usage", "unit"),
    [("BoxUsage:t2.micro", Unit.MINUTE), ("EBS:VolumeUsage.io2", Unit.HOUR), ("BoxUsage:t2", Unit.HOUR)],
)
def test_a_product_of_another_unit_or_of_a_longer_name_has_no_price(usage: str, unit: Unit) -> None:
    offers = [recorded("pricing")[name] for name in (VOLUME, INSTANCE)]
    quote = pricing.quote(Product("AmazonEC2", usage, unit), offers, 7.0)
    assert quote == Quote(None, f"AWS's price list has no price for {usage} here.")


def test_a_price_of_sagemaker_is_read_by_the_usage_type_that_its_list_has() -> None:
    """There is no complete recorded response: the recorded fields are put into the recorded form of an EC2 instance."""
    for fields in recorded("pricing")["fields of SageMaker's products, 2026"]:
        offer = recorded("pricing")[INSTANCE]
        offer["product"]["attributes"]["usagetype"] = fields["usagetype"]
        (term,) = offer["terms"]["OnDemand"].values()
        (dimension,) = term["priceDimensions"].values()
        dimension |= {"unit": fields["unit"], "pricePerUnit": {"USD": fields["USD"]}}
        product = Product("AmazonSageMaker", fields["usagetype"].partition("-")[2], Unit.HOUR)
        price = pricing.quote(product, [offer], 7.0).price
        assert price is not None
        assert (price.amount, price.unit) == (float(fields["USD"]), Unit.HOUR)
