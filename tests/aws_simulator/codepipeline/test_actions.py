"""The providers, each under the pipeline's role: what they hand on, what they need, and how they fail."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from tests.aws_simulator.accounts import eventually, grant, role, settled, zipped
from tests.aws_simulator.codepipeline.lines import ALLOWED, BUCKET, SOURCE, Line, action, gate, prepared, source
from tests.aws_simulator.fixture import Aws

PIPELINE = "arn:aws:iam::123456789012:role/line"
ROLE = "arn:aws:iam::123456789012:role/"
BUILDSPEC = """
version: 0.2
env: {exported-variables: [GREETING]}
phases:
  build:
    commands:
      - mkdir -p out/deep && cat README.md > out/deep/read.txt
      - echo "$RUN" > out/run.txt
      - GREETING=hi
      - test "$FAIL" != yes
artifacts: {base-directory: out, files: ["**/*"]}
"""


def denied(aws: Aws, name: str) -> set[tuple[str, str]]:
    return {(one["action"], one["resource"]) for one in aws.denials() if one["role"] == name}


def project(aws: Aws, *statements: dict[str, Any]) -> None:
    arn = role(aws, "builder", "codebuild.amazonaws.com", *statements)
    aws.client("codebuild").create_project(
        name="builds",
        serviceRole=arn,
        source={"type": "CODEPIPELINE"},
        artifacts={"type": "CODEPIPELINE"},
        environment={"type": "LINUX_CONTAINER", "image": "i", "computeType": "BUILD_GENERAL1_SMALL"},
    )


def build(**variables: str) -> dict[str, Any]:
    values = [{"name": name, "value": value} for name, value in variables.items()]
    configuration = {"ProjectName": "builds", "EnvironmentVariables": json.dumps(values)}
    return action("build", "Build/CodeBuild", configuration, inputs=["SourceOutput"], outputs=["Built"], namespace="b")


def test_a_build_gets_the_source_and_hands_on_its_files_and_variables(aws: Aws) -> None:
    s3 = prepared(aws, {"README.md": "hello", "buildspec.yml": BUILDSPEC})
    project(aws, {"Action": ["s3:*", "logs:*"], "Resource": "*"})
    after = gate(runOrder=2, configuration={"CustomData": "#{b.GREETING}"})
    line = Line(aws, {"Source": [source()], "make": [build(RUN="#{codepipeline.PipelineExecutionId}"), after]})
    line.passes("make", line.first)
    assert line.ended(line.first) == "Succeeded"
    made = line.actions(line.first)[1]
    assert made["output"]["executionResult"]["externalExecutionId"].startswith("builds:")
    place = made["output"]["outputArtifacts"][0]["s3location"]
    assert place["key"].startswith("line/Built/")
    with zipfile.ZipFile(io.BytesIO(s3.get_object(Bucket=place["bucket"], Key=place["key"])["Body"].read())) as files:
        assert sorted(files.namelist()) == ["deep/read.txt", "run.txt"]
        assert files.read("run.txt").decode().strip() == line.first
    assert line.actions(line.first)[2]["input"]["resolvedConfiguration"] == {"CustomData": "hi"}
    assert aws.denials() == []


def test_a_build_that_fails_says_in_which_phase_and_by_which_command(aws: Aws) -> None:
    prepared(aws, {"README.md": "hello", "buildspec.yml": BUILDSPEC})
    project(aws, {"Action": ["s3:*", "logs:*"], "Resource": "*"})
    line = Line(aws, {"Source": [source()], "make": [build(FAIL="yes")]})
    assert line.ended(line.first) == "Failed"
    why = line.failure(line.first)
    assert why["code"] == "JobFailed"
    assert "Phase: BUILD, Code: COMMAND_EXECUTION_ERROR" in why["message"]
    assert line.latest("make", "build")["summary"] == why["message"]


def test_a_build_whose_role_may_not_read_the_artifact_fails_to_download_it(aws: Aws) -> None:
    prepared(aws)
    project(aws, {"Action": "logs:*", "Resource": "*"})
    line = Line(aws, {"Source": [source()], "make": [build()]})
    assert line.ended(line.first) == "Failed"
    assert "Phase: DOWNLOAD_SOURCE" in line.failure(line.first)["message"]
    assert {name for name, _ in denied(aws, "builder")} == {"s3:GetObject"}


def test_an_abandoned_build_is_stopped(aws: Aws) -> None:
    prepared(aws, {"buildspec.yml": "version: 0.2\nphases: {build: {commands: [sleep 300]}}\n"})
    project(aws, {"Action": ["s3:*", "logs:*"], "Resource": "*"})
    line = Line(aws, {"Source": [source()], "make": [build()]})
    identity = eventually(lambda: line.latest("make", "build").get("externalExecutionId"))
    line.client.stop_pipeline_execution(pipelineName="line", pipelineExecutionId=line.first, abandon=True)
    client = aws.client("codebuild")
    eventually(lambda: client.batch_get_builds(ids=[identity])["builds"][0]["buildStatus"] == "STOPPED")


@pytest.mark.parametrize(
    ("missing", "resource"),
    [
        ("s3:GetBucketVersioning", f"arn:aws:s3:::{BUCKET}"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/source.zip"),
        ("s3:PutObject", None),
    ],
)
def test_a_source_needs_its_permissions(aws: Aws, missing: str, resource: str | None) -> None:
    prepared(aws)
    needed = {"s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectVersionTagging", "s3:PutObject"}
    grant(aws, "line", {"Action": sorted(needed - {missing}), "Resource": "*"})
    line = Line(aws, {"Source": [source()], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert line.failure(line.first)["code"] == "PermissionError"
    [(name, where)] = denied(aws, "line")
    assert name == missing
    assert resource in (None, where)


def test_an_object_is_taken_in_the_version_that_was_asked_for(aws: Aws) -> None:
    s3 = prepared(aws)
    old = s3.head_object(Bucket=BUCKET, Key="source.zip")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="source.zip", Body=zipped({"README.md": "newer"}))
    line = Line(aws, {"Source": [source()], "next": [gate()]})
    revision = {"actionName": "source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": old}
    line.passes("next", line.first)
    second = line.start(sourceRevisions=[revision])
    line.token("next", second)
    facts = line.client.get_pipeline_execution(pipelineName="line", pipelineExecutionId=second)["pipelineExecution"]
    assert facts["artifactRevisions"][0]["revisionId"] == old
    with pytest.raises(line.client.exceptions.ValidationException, match="does not fit"):
        line.start(sourceRevisions=[{**revision, "revisionType": "COMMIT_ID"}])


def test_a_source_that_is_not_there_fails(aws: Aws) -> None:
    prepared(aws)
    missing = action("source", "Source/S3", {**SOURCE, "S3ObjectKey": "nothing.zip"}, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [missing], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert "nothing.zip" in line.failure(line.first)["message"]


def test_codecommit_gives_the_tip_or_the_commit_that_was_asked_for(aws: Aws) -> None:
    prepared(aws)
    repository = aws.client("codecommit")
    repository.create_repository(repositoryName="code")
    commit = {"repositoryName": "code", "branchName": "main"}
    put = [{"filePath": "a.txt", "fileContent": b"1"}]
    first = repository.create_commit(**commit, putFiles=put, commitMessage="first")["commitId"]
    put = [{"filePath": "a.txt", "fileContent": b"2"}]
    second = repository.create_commit(**commit, putFiles=put, parentCommitId=first)["commitId"]
    configuration = {"RepositoryName": "code", "BranchName": "main", "PollForSourceChanges": "false"}
    grant(
        aws,
        "line",
        {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/line/*"},
        {
            "Action": [
                f"codecommit:{one}" for one in ("GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus")
            ],
            "Resource": "arn:aws:codecommit:us-east-1:123456789012:code",
        },
    )
    from_git = action("source", "Source/CodeCommit", configuration, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [from_git], "next": [gate()]})
    line.passes("next", line.first)
    assert line.ended(line.first) == "Succeeded"
    asked = line.start(sourceRevisions=[{"actionName": "source", "revisionType": "COMMIT_ID", "revisionValue": first}])
    line.token("next", asked)
    summaries = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"]
    assert [one["sourceRevisions"][0]["revisionId"] for one in summaries] == [first, second]
    assert summaries[0]["sourceRevisions"][0]["revisionSummary"] == "first"
    assert aws.denials() == []
    assert aws.unused_permissions() == []


def test_a_connection_gives_the_repository_behind_it(aws: Aws) -> None:
    prepared(aws)
    arn = "arn:aws:codestar-connections:us-east-1:123456789012:connection/abc"
    configuration = {"ConnectionArn": arn, "FullRepositoryId": "me/code", "BranchName": "main"}
    remote = action("source", "Source/CodeStarSourceConnection", configuration, outputs=["SourceOutput"])
    commit = aws.control("github-push", repository="me/code", files={"a.txt": "1"})
    line = Line(aws, {"Source": [remote], "next": [gate()]})
    line.passes("next", line.first)
    summary = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0]
    assert summary["sourceRevisions"][0]["revisionId"] == commit
    aws.control("github-push", repository="me/code", files={"a.txt": "2"})
    newest = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0]
    assert newest["trigger"]["triggerType"] == "WebhookV2"
    grant(aws, "line", {"Action": "s3:*", "Resource": "*"})
    third = line.start()
    line.passes("next", newest["pipelineExecutionId"])
    assert line.ended(third) == "Failed"
    assert denied(aws, "line") == {("codestar-connections:UseConnection", arn)}


def machine(aws: Aws, definition: dict[str, Any]) -> str:
    arn = role(aws, "machine", "states.amazonaws.com")
    made = aws.client("stepfunctions").create_state_machine(name="m", roleArn=arn, definition=json.dumps(definition))
    return str(made["stateMachineArn"])


def invoke(arn: str, **configuration: str) -> dict[str, Any]:
    given = {"StateMachineArn": arn, **configuration}
    inputs = ["SourceOutput"] if configuration.get("InputType") == "FilePath" else []
    return action("job", "Invoke/StepFunctions", given, inputs=inputs, namespace="job")


def test_a_state_machine_gets_a_file_as_input(aws: Aws) -> None:
    prepared(aws, {"in/request.json": '{"kind": "reuse"}'})
    arn = machine(aws, {"QueryLanguage": "JSONata", "StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    line = Line(aws, {"Source": [source()], "run": [invoke(arn, InputType="FilePath", Input="in/request.json")]})
    assert line.ended(line.first) == "Succeeded"
    ran = line.actions(line.first)[1]
    execution = ran["output"]["executionResult"]["externalExecutionId"]
    assert ran["output"]["outputVariables"] == {"StateMachineArn": arn, "ExecutionArn": execution}
    facts = aws.client("stepfunctions").describe_execution(executionArn=execution)
    assert json.loads(facts["input"]) == {"kind": "reuse"}


def test_a_state_machine_that_fails_says_its_cause(aws: Aws) -> None:
    prepared(aws)
    fail = {"Type": "Fail", "Error": "Broken", "Cause": "it had to"}
    line = Line(aws, {"Source": [source()], "run": [invoke(machine(aws, {"StartAt": "F", "States": {"F": fail}}))]})
    assert line.ended(line.first) == "Failed"
    why = line.failure(line.first)
    assert why["code"] == "JobFailed"
    assert "FAILED (error: Broken, cause: it had to)" in why["message"]


def test_a_role_that_may_not_start_the_state_machine_fails_the_action(aws: Aws) -> None:
    prepared(aws)
    arn = machine(aws, {"StartAt": "P", "States": {"P": {"Type": "Pass", "End": True}}})
    grant(aws, "line", {"Action": ["s3:*", "states:DescribeStateMachine"], "Resource": "*"})
    line = Line(aws, {"Source": [source()], "run": [invoke(arn)]})
    assert line.ended(line.first) == "Failed"
    assert denied(aws, "line") == {("states:StartExecution", arn)}


def test_an_abandoned_state_machine_goes_on_as_on_aws(aws: Aws) -> None:
    prepared(aws)
    wait = {"Type": "Wait", "Seconds": 60, "End": True}
    line = Line(aws, {"Source": [source()], "run": [invoke(machine(aws, {"StartAt": "W", "States": {"W": wait}}))]})
    execution = eventually(lambda: line.latest("run", "job").get("externalExecutionId"))
    line.client.stop_pipeline_execution(pipelineName="line", pipelineExecutionId=line.first, abandon=True)
    states = aws.client("stepfunctions")
    assert states.describe_execution(executionArn=execution)["status"] == "RUNNING"
    states.stop_execution(executionArn=execution)


TEMPLATE = {
    "Parameters": {"Name": {"Type": "String"}, "Days": {"Type": "Number", "Default": 7}},
    "Resources": {
        "Repository": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": {"Ref": "Name"}}}
    },
    "Outputs": {"Arn": {"Value": {"Fn::GetAtt": ["Repository", "Arn"]}}},
}


def deploy(**configuration: str) -> dict[str, Any]:
    given = {
        "ActionMode": "CREATE_UPDATE",
        "StackName": "made",
        "RoleArn": f"{ROLE}deployer",
        "TemplatePath": "SourceOutput::template.json",
        "TemplateConfiguration": "SourceOutput::configuration.json",
    }
    return action("deploy", "Deploy/CloudFormation", {**given, **configuration}, inputs=["SourceOutput"], namespace="s")


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
    made = line.actions(line.first)[1]["output"]
    assert made["outputVariables"] == {"Arn": "arn:aws:codecommit:us-east-1:123456789012:first"}
    assert made["executionResult"]["externalExecutionSummary"].endswith("was created.")
    tags = aws.client("cloudformation").describe_stacks(StackName="made")["Stacks"][0]["Tags"]
    assert {"Key": "mlops:project", "Value": "p"} in tags
    second = line.start()
    line.passes("out", second)
    assert line.ended(second) == "Succeeded", "no updates are to be performed: that is a success"


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
    rest = [one for one in ALLOWED["Action"] if one != "iam:PassRole"]
    grant(aws, "line", {"Action": rest, "Resource": "*"})
    line = Line(aws, {"Source": [source()], "out": [deploy()]})
    assert line.ended(line.first) == "Failed"
    assert denied(aws, "line") == {("iam:PassRole", f"{ROLE}deployer")}


def test_an_approval_is_told_to_the_topic(aws: Aws) -> None:
    prepared(aws)
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    queue_arn = "arn:aws:sqs:us-east-1:123456789012:q"
    may = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": queue_arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
    queue = aws.client("sqs").create_queue(QueueName="q", Attributes={"Policy": policy})["QueueUrl"]
    raw = {"RawMessageDelivery": "true"}
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
    link = "https://example.com/#{codepipeline.PipelineExecutionId}"
    told = gate(configuration={"NotificationArn": topic, "ExternalEntityLink": link, "CustomData": "look"})
    line = Line(aws, {"Source": [source()], "ask": [told]})
    line.token("ask", line.first)
    message = eventually(lambda: aws.client("sqs").receive_message(QueueUrl=queue).get("Messages"))[0]["Body"]
    approval = json.loads(message)["approval"]
    assert approval["externalEntityLink"] == f"https://example.com/{line.first}"
    assert (approval["pipelineName"], approval["actionName"], approval["customData"]) == ("line", "gate", "look")


def test_an_approval_whose_topic_may_not_be_told_fails(aws: Aws) -> None:
    prepared(aws)
    topic = aws.client("sns").create_topic(Name="t")["TopicArn"]
    grant(aws, "line", {"Action": "s3:*", "Resource": "*"})
    line = Line(aws, {"Source": [source()], "ask": [gate(configuration={"NotificationArn": topic})]})
    assert line.ended(line.first) == "Failed"
    assert denied(aws, "line") == {("sns:Publish", topic)}


def test_an_action_can_have_a_role_of_its_own(aws: Aws) -> None:
    prepared(aws)
    iam = aws.client("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": PIPELINE}, "Action": "sts:AssumeRole"}]}
    own = iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    grant(aws, "own", {"Action": "s3:*", "Resource": "*"})
    grant(aws, "line", {"Action": "sts:AssumeRole", "Resource": own})
    line = Line(aws, {"Source": [source(roleArn=own)], "next": [gate()]})
    line.token("next", line.first)
    assert {one["role"] for one in aws.permissions() if one["action"].startswith("s3:")} == {"own"}


def test_the_bucket_must_be_versioned(aws: Aws) -> None:
    prepared(aws)
    aws.client("s3").create_bucket(Bucket="plain")
    aws.client("s3").put_object(Bucket="plain", Key="source.zip", Body=b"")
    plain = action("source", "Source/S3", {**SOURCE, "S3Bucket": "plain"}, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [plain], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert "not versioned" in line.failure(line.first)["message"]
