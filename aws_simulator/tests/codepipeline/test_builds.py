"""Builds and state machines as actions: inputs, outputs, permissions and failures."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from aws_simulator.accounts import eventually, grant, role
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import Line, action, denied, gate, prepared, source

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
    action = line.actions(line.first)[1]
    assert action["output"]["executionResult"]["externalExecutionId"].startswith("builds:")
    location = action["output"]["outputArtifacts"][0]["s3location"]
    assert location["key"].startswith("line/Built/")
    with zipfile.ZipFile(
        io.BytesIO(s3.get_object(Bucket=location["bucket"], Key=location["key"])["Body"].read())
    ) as files:
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


def test_a_build_without_permission_for_the_artifact_fails(aws: Aws) -> None:
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
    assert eventually(lambda: client.batch_get_builds(ids=[identity])["builds"][0]["buildStatus"] == "STOPPED")


def machine(aws: Aws, definition: dict[str, Any]) -> str:
    arn = role(aws, "machine", "states.amazonaws.com")
    machine = aws.client("stepfunctions").create_state_machine(name="m", roleArn=arn, definition=json.dumps(definition))
    return str(machine["stateMachineArn"])


def invoke(arn: str, **configuration: str) -> dict[str, Any]:
    configuration_ = {"StateMachineArn": arn, **configuration}
    inputs = ["SourceOutput"] if configuration.get("InputType") == "FilePath" else []
    return action("job", "Invoke/StepFunctions", configuration_, inputs=inputs, namespace="job")


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
