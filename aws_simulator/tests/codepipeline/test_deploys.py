"""Stacks and approvals as actions: inputs, outputs, permissions and failures."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aws_simulator.accounts import eventually, grant, role, settled
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import ALLOWED, Line, action, denied, gate, prepared, source

ROLE = "arn:aws:iam::123456789012:role/"


TEMPLATE = {
    "Parameters": {"Name": {"Type": "String"}, "Days": {"Type": "Number", "Default": 7}},
    "Resources": {
        "Repository": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": {"Ref": "Name"}}}
    },
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Repository", "Arn"]}}},
}


def deploy(**configuration: str) -> dict[str, Any]:
    statements = {
        "ActionMode": "CREATE_UPDATE",
        "StackName": "made",
        "RoleArn": f"{ROLE}deployer",
        "TemplatePath": "SourceOutput::template.json",
        "TemplateConfiguration": "SourceOutput::configuration.json",
    }
    return action(
        "deploy", "Deploy/CloudFormation", {**statements, **configuration}, inputs=["SourceOutput"], namespace="s"
    )


def deployable(aws: Aws, *statements: dict[str, Any], **parameters: Any) -> Any:
    configuration = json.dumps({"Parameters": {"Name": "first", **parameters}, "Tags": {"mlops:project": "p"}})
    role(aws, "deployer", "cloudformation.amazonaws.com", *statements)
    return prepared(aws, {"template.json": json.dumps(TEMPLATE), "configuration.json": configuration})


def test_a_stack_is_made_with_its_configuration_and_its_outputs_are_variables(aws: Aws) -> None:
    deployable(aws, {"Action": "codecommit:*", "Resource": "*"})
    line = Line(
        aws, {"Source": [source()], "out": [deploy(), gate(runOrder=2, configuration={"CustomData": "#{s.Arn}"})]}
    )
    line.passes("out", line.first)
    assert line.ended(line.first) == "Succeeded"
    output = line.actions(line.first)[1]["output"]
    assert output["outputVariables"] == {"Arn": "arn:aws:codecommit:us-east-1:123456789012:first"}
    assert output["executionResult"]["externalExecutionSummary"].endswith("was created.")
    tags = aws.client("cloudformation").describe_stacks(StackName="made")["Stacks"][0]["Tags"]
    assert {"Key": "mlops:project", "Value": "p"} in tags
    aws.control("codepipeline-views", unchanged="succeeds")
    second = line.start()
    line.passes("out", second)
    assert line.ended(second) == "Succeeded", "no updates are to be performed: that is a success"
    aws.control("codepipeline-views", unchanged="fails")
    assert line.ended(line.start()) == "Failed", "or it is none"


def test_parameters_can_be_overridden(aws: Aws) -> None:
    deployable(aws, {"Action": "codecommit:*", "Resource": "*"})
    line = Line(aws, {"Source": [source()], "out": [deploy(ParameterOverrides='{"Name": "second"}')]})
    assert line.ended(line.first) == "Succeeded"
    assert aws.client("codecommit").get_repository(repositoryName="second")


def test_a_parameter_that_is_no_string_is_refused(aws: Aws) -> None:
    deployable(aws, Days=7)
    line = Line(aws, {"Source": [source()], "out": [deploy()]})
    assert line.ended(line.first) == "Failed"
    assert "Days is not a string" in line.failure(line.first)["message"]


def test_a_stack_that_fails_is_named_with_its_first_cause(aws: Aws) -> None:
    deployable(aws)
    line = Line(aws, {"Source": [source()], "out": [deploy()]})
    assert line.ended(line.first) == "Failed"
    message = line.failure(line.first)["message"]
    assert "ROLLBACK_COMPLETE: Repository" in message
    assert "codecommit:CreateRepository" in message
    line.client.retry_stage_execution(
        pipelineName="line", stageName="out", pipelineExecutionId=line.first, retryMode="FAILED_ACTIONS"
    )
    assert eventually(lambda: len(line.actions(line.first)) == 3 and line.ended(line.first)) == "Failed"
    assert "is in ROLLBACK_COMPLETE state" in line.failure(line.first)["message"]
    assert settled(aws, "made") == "ROLLBACK_COMPLETE"


def test_a_deploy_role_must_be_passed_on(aws: Aws) -> None:
    deployable(aws)
    remaining = [action for action in ALLOWED["Action"] if action != "iam:PassRole"]
    grant(aws, "line", {"Action": remaining, "Resource": "*"})
    line = Line(aws, {"Source": [source()], "out": [deploy()]})
    assert line.ended(line.first) == "Failed"
    assert denied(aws, "line") == {("iam:PassRole", f"{ROLE}deployer")}


def test_an_approval_is_published_to_the_topic(aws: Aws) -> None:
    prepared(aws)
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    queue_arn = "arn:aws:sqs:us-east-1:123456789012:q"
    may = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue_arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    queue = aws.client("sqs").create_queue(QueueName="q", Attributes={"Policy": policy})["QueueUrl"]
    raw = {"RawMessageDelivery": "true"}
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
    link = "https://example.com/#{codepipeline.PipelineExecutionId}"
    action = gate(configuration={"NotificationArn": topic, "ExternalEntityLink": link, "CustomData": "look"})
    line = Line(aws, {"Source": [source()], "ask": [action]})
    line.token("ask", line.first)
    message = eventually(lambda: aws.client("sqs").receive_message(QueueUrl=queue).get("Messages"))[0]["Body"]
    approval = json.loads(message)["approval"]
    assert approval["externalEntityLink"] == f"https://example.com/{line.first}"
    assert (approval["pipelineName"], approval["actionName"], approval["customData"]) == ("line", "gate", "look")


def test_an_approval_without_permission_for_its_topic_fails(aws: Aws) -> None:
    prepared(aws)
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    grant(aws, "line", {"Action": "s3:*", "Resource": "*"})
    line = Line(aws, {"Source": [source()], "ask": [gate(configuration={"NotificationArn": topic})]})
    assert line.ended(line.first) == "Failed"
    assert denied(aws, "line") == {("sns:Publish", topic)}


@pytest.mark.parametrize("lacking", ["", "the key's policy", "the role's permission"])
def test_an_approval_is_published_to_an_encrypted_topic_by_a_role_that_may_use_the_key(aws: Aws, lacking: str) -> None:
    prepared(aws)
    owner = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
    of_one = {**owner, "Principal": {"AWS": "arn:aws:iam::123456789012:user/owner"}}
    policy = {
        "Version": "2012-10-17",
        "Statement": [{**(of_one if lacking == "the key's policy" else owner), "Resource": "*"}],
    }
    key = aws.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
    topic = aws.client("sns").create_topic(Name="t", Attributes={"KmsMasterKeyId": key})["TopicArn"]
    kms = [] if lacking == "the role's permission" else ["kms:GenerateDataKey", "kms:Decrypt"]
    grant(aws, "line", {"Action": ["s3:*", "sns:Publish", *kms], "Resource": "*"})
    line = Line(aws, {"Source": [source()], "ask": [gate(configuration={"NotificationArn": topic})]})
    if lacking:
        assert line.ended(line.first) == "Failed"
        assert denied(aws, "line") == {("kms:GenerateDataKey", key)}
    else:
        assert line.token("ask", line.first)
