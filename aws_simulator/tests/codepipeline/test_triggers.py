"""Automatic starts of a pipeline, with the role of the rule's target; and the CloudFormation resource."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, grant, reasons, role, settled, stack
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import BUCKET, Line, action, gate, prepared, source

PIPELINE = "arn:aws:codepipeline:us-east-1:123456789012:line"
START = {"Action": "codepipeline:StartPipelineExecution", "Resource": PIPELINE}


def rule(aws: Aws, pattern: dict[str, Any], *statements: dict[str, Any]) -> str:
    """Create a rule with the pipeline as its target. Return the rule's ARN."""
    arn = role(aws, "trigger", "events.amazonaws.com", *statements)
    events = aws.client("events")
    rule_arn = events.put_rule(Name="trigger", EventPattern=json.dumps(pattern))["RuleArn"]
    events.put_targets(Rule="trigger", Targets=[{"Id": "pipeline", "Arn": PIPELINE, "RoleArn": arn}])
    return str(rule_arn)


def newest(line: Line) -> dict[str, Any]:
    return dict(line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0])


COMMITS = {"source": ["aws.codecommit"], "detail": {"referenceName": ["main"], "event": ["referenceUpdated"]}}


@pytest.fixture
def repository(aws: Aws) -> Any:
    client = aws.client("codecommit")
    client.create_repository(repositoryName="code")
    client.put = lambda text, **more: client.create_commit(
        repositoryName="code", branchName="main", putFiles=[{"filePath": "a", "fileContent": text}], **more
    )["commitId"]
    client.first = client.put(b"1")
    return client


def git_line(aws: Aws) -> Line:
    prepared(aws)
    configuration = {"RepositoryName": "code", "BranchName": "main", "PollForSourceChanges": "false"}
    from_git = action("source", "Source/CodeCommit", configuration, outputs=["SourceOutput"])
    return Line(aws, {"Source": [from_git], "next": [gate()]})


def test_a_commit_starts_the_pipeline(aws: Aws, repository: Any) -> None:
    line = git_line(aws)
    arn = rule(aws, COMMITS, START)
    second = repository.put(b"2", parentCommitId=repository.first)
    eventually(lambda: newest(line)["pipelineExecutionId"] != line.first)
    assert newest(line)["trigger"] == {"triggerType": "CloudWatchEvent", "triggerDetail": arn}
    eventually(lambda: newest(line)["sourceRevisions"])
    assert newest(line)["sourceRevisions"][0]["revisionId"] == second


def test_a_rule_without_permission_to_start_the_pipeline_fails_only_in_the_record(aws: Aws, repository: Any) -> None:
    line = git_line(aws)
    rule(aws, COMMITS)
    repository.put(b"2", parentCommitId=repository.first)
    failed = eventually(lambda: aws.control("failed-invocations"))
    assert "codepipeline:StartPipelineExecution" in failed[0]["why"]
    assert newest(line)["pipelineExecutionId"] == line.first


def test_an_upload_starts_the_pipeline(aws: Aws) -> None:
    s3 = prepared(aws)
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}})
    line = Line(aws, {"Source": [source()], "next": [gate()]})
    where = {"bucket": {"name": [BUCKET]}, "object": {"key": ["source.zip"]}}
    rule(aws, {"source": ["aws.s3"], "detail-type": ["Object Created"], "detail": where}, START)
    s3.copy_object(Bucket=BUCKET, Key="source.zip", CopySource=f"{BUCKET}/source.zip", MetadataDirective="REPLACE")
    eventually(lambda: newest(line)["pipelineExecutionId"] != line.first)
    assert newest(line)["trigger"]["triggerType"] == "CloudWatchEvent"


def properties(**changed: Any) -> dict[str, Any]:
    return {
        "Name": "line",
        "RoleArn": "arn:aws:iam::123456789012:role/line",
        "PipelineType": "V2",
        "ExecutionMode": "QUEUED",
        "ArtifactStore": {"Type": "S3", "Location": BUCKET},
        "Variables": [{"Name": "force", "DefaultValue": False}],
        "Stages": [
            {
                "Name": "Source",
                "Actions": [
                    {
                        "Name": "source",
                        "ActionTypeId": {"Category": "Source", "Owner": "AWS", "Provider": "S3", "Version": 1},
                        "OutputArtifacts": [{"Name": "SourceOutput"}],
                        "Configuration": {
                            "S3Bucket": BUCKET,
                            "S3ObjectKey": "source.zip",
                            "PollForSourceChanges": False,
                        },
                    }
                ],
            },
            {
                "Name": "next",
                "Actions": [
                    {
                        "Name": "gate",
                        "RunOrder": "1",
                        "ActionTypeId": {"Category": "Approval", "Owner": "AWS", "Provider": "Manual", "Version": "1"},
                    }
                ],
            },
        ],
        **changed,
    }


def made(**changed: Any) -> dict[str, Any]:
    return {"Pipeline": {"Type": "AWS::CodePipeline::Pipeline", "Properties": properties(**changed)}}


def test_a_stack_makes_changes_and_removes_a_pipeline(aws: Aws) -> None:
    prepared(aws)
    assert stack(aws, "s", made(), Name={"Ref": "Pipeline"}) == "CREATE_COMPLETE"
    client = aws.client("codepipeline")
    [first] = client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"]
    assert first["trigger"]["triggerType"] == "CreatePipeline"
    declared = client.get_pipeline(name="line")["pipeline"]
    assert declared["variables"] == [{"name": "force", "defaultValue": "false"}]
    assert declared["stages"][0]["actions"][0]["configuration"]["PollForSourceChanges"] == "false"
    tags = client.list_tags_for_resource(resourceArn=PIPELINE)["tags"]
    assert {"key": "aws:cloudformation:stack-name", "value": "s"} in tags

    cloudformation = aws.client("cloudformation")
    template = json.dumps({"Resources": made(ExecutionMode="SUPERSEDED")})
    cloudformation.update_stack(StackName="s", TemplateBody=template)
    assert settled(aws, "s") == "UPDATE_COMPLETE"
    changed = client.get_pipeline(name="line")["pipeline"]
    assert (changed["version"], changed["executionMode"]) == (2, "SUPERSEDED")
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="PipelineNotFoundException"):
        client.get_pipeline(name="line")


def test_a_template_that_codepipeline_refuses_fails_the_stack_with_its_words(aws: Aws) -> None:
    prepared(aws)
    wrong = made()
    wrong["Pipeline"]["Properties"]["Stages"][0]["Actions"][0]["Configuration"]["S3Key"] = "x"
    assert stack(aws, "s", wrong) == "ROLLBACK_COMPLETE"
    assert "contains unknown configuration 'S3Key'" in reasons(aws, "s")[0]


def test_the_stacks_role_needs_to_pass_the_pipelines_role_on(aws: Aws) -> None:
    prepared(aws)
    arn = role(aws, "deployer", "cloudformation.amazonaws.com", {"Action": "codepipeline:*", "Resource": "*"})
    assert stack(aws, "s", made(), role=arn) == "ROLLBACK_COMPLETE"
    assert "iam:PassRole" in reasons(aws, "s")[0]
    passing = {"Action": "iam:PassRole", "Resource": "arn:aws:iam::123456789012:role/line"}
    condition = {"StringEquals": {"iam:PassedToService": "codepipeline.amazonaws.com"}}
    grant(aws, "deployer", {"Action": "codepipeline:*", "Resource": "*"}, {**passing, "Condition": condition})
    assert stack(aws, "s2", made(), role=arn) == "CREATE_COMPLETE"
