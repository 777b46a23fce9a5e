"""Builds run their commands under the project's role, and end as CodeBuild's do."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import bucket, eventually, grant, reasons, role, settled, stack
from aws_simulator.fixture import Aws
from aws_simulator.processes import bearers
from aws_simulator.services.codebuild import artifacts, buildspec

LOGS = {"Action": ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}


class Builds:
    """A project, and the results of its builds."""

    def __init__(self, aws: Aws, *statements: Mapping[str, Any]) -> None:
        self.aws = aws
        self.role = role(aws, "builder", "codebuild.amazonaws.com", *statements)
        self.client = aws.client("codebuild")
        self.client.create_project(
            name="builds",
            serviceRole=self.role,
            source={"type": "NO_SOURCE", "buildspec": "version: 0.2\nphases: {build: {commands: ['true']}}\n"},
            artifacts={"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": "aws/codebuild/standard:8.0",
                "computeType": "BUILD_GENERAL1_SMALL",
                "environmentVariables": [{"name": "OURS", "value": "project"}, {"name": "OTHER", "value": "project"}],
            },
        )

    def start(self, spec: str, **more: Any) -> str:
        return str(self.client.start_build(projectName="builds", buildspecOverride=spec, **more)["build"]["id"])

    def get(self, identity: str) -> dict[str, Any]:
        return dict(self.client.batch_get_builds(ids=[identity])["builds"][0])

    def ended(self, identity: str) -> dict[str, Any]:
        return dict(eventually(lambda: (build := self.get(identity))["buildComplete"] and build))

    def run(self, spec: str, **more: Any) -> dict[str, Any]:
        return self.ended(self.start(spec, **more))

    def log(self, build: dict[str, Any]) -> list[str]:
        names = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
        events = self.aws.client("logs").get_log_events(**names, startFromHead=True)["events"]
        return [event["message"].rstrip("\n") for event in events]


@pytest.fixture
def builds(aws: Aws) -> Builds:
    return Builds(aws, LOGS)


def phases(build: dict[str, Any]) -> dict[str, str]:
    return {phase["phaseType"]: phase.get("phaseStatus", "") for phase in build["phases"]}


def test_commands_share_a_shell_variables_and_folder_and_write_to_the_log(builds: Builds) -> None:
    spec = """
version: 0.2
env:
  shell: bash
  variables: {SPEC: spec}
  exported-variables: [RESULT]
phases:
  install:
    runtime-versions: {python: "3.12"}
    commands: [mkdir inner && cd inner, export LATER="a b"]
  build:
    commands:
      - echo "in $(basename "$PWD") with $LATER, $SPEC, $OURS, $OTHER"
      - RESULT=$LATER-done
      - python -c 'import sys; print(sys.prefix != sys.base_prefix)'
"""
    build = builds.run(spec, environmentVariablesOverride=[{"name": "OTHER", "value": "override"}])
    assert build["buildStatus"] == "SUCCEEDED"
    lines = builds.log(build)
    assert "in inner with a b, spec, project, override" in lines
    assert "True" in lines
    assert any(line.startswith("[Container]") and line.endswith("Entering phase BUILD") for line in lines)
    assert build["exportedEnvironmentVariables"] == [{"name": "RESULT", "value": "a b-done"}]
    assert list(phases(build)) == [
        "SUBMITTED",
        "QUEUED",
        "PROVISIONING",
        "DOWNLOAD_SOURCE",
        "INSTALL",
        "PRE_BUILD",
        "BUILD",
        "POST_BUILD",
        "UPLOAD_ARTIFACTS",
        "FINALIZING",
        "COMPLETED",
    ]


def test_a_failing_command_fails_its_phase_and_the_build_and_says_why(builds: Builds) -> None:
    spec = """
version: 0.2
phases:
  build: {commands: ["false", echo never], finally: [echo cleaned]}
  post_build: {commands: [echo "succeeding $CODEBUILD_BUILD_SUCCEEDING"]}
"""
    build = builds.run(spec)
    assert build["buildStatus"] == "FAILED"
    failed = next(phase for phase in build["phases"] if phase["phaseType"] == "BUILD")
    assert failed["contexts"][0]["statusCode"] == "COMMAND_EXECUTION_ERROR"
    assert failed["contexts"][0]["message"] == "Error while executing command: false. Reason: exit status 1"
    lines = builds.log(build)
    assert "never" not in lines
    assert {"cleaned", "succeeding 0"} <= set(lines)


def test_after_a_failed_install_no_phase_runs(builds: Builds) -> None:
    build = builds.run("version: 0.2\nphases: {install: {commands: [exit 3]}, build: {commands: [echo never]}}\n")
    assert phases(build)["INSTALL"] == "FAILED"
    assert "BUILD" not in phases(build)


def test_a_build_has_only_its_roles_permissions(builds: Builds) -> None:
    s3 = bucket(builds.aws, "data")
    s3.put_object(Bucket="data", Key="a/b.txt", Body=b"hello")
    grant(builds.aws, "builder", LOGS, {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/a/*"})
    fetch = "version: 0.2\nphases: {build: {commands: [aws s3 cp --quiet s3://data/KEY got/, cat got/*]}}\n"
    build = builds.run(fetch.replace("KEY", "a/b.txt"))
    assert "hello" in builds.log(build)
    assert builds.run(fetch.replace("KEY", "secret"))["buildStatus"] == "FAILED"
    assert {("builder", "s3:GetObject", "arn:aws:s3:::data/secret")} == {
        (denial["role"], denial["action"], denial["resource"]) for denial in builds.aws.denials()
    }


def test_pip_installs_only_given_files_and_no_package_of_an_index(builds: Builds) -> None:
    spec = """
version: 0.2
phases:
  build:
    commands:
      - python -m pip install --quiet pytest
      - python -c 'import importlib.util; assert importlib.util.find_spec("mlops_cli") is None'
      - '! python -m pip install --quiet no-such-distribution-here 2>&1'
"""
    build = builds.run(spec)
    assert build["buildStatus"] == "SUCCEEDED", builds.log(build)


def test_an_earlier_installation_is_reused_only_if_it_is_the_same(builds: Builds, tmp_path: Path) -> None:
    spec = """
version: 0.2
phases:
  build:
    commands:
      - cp WHEEL . && echo "pytest>=NUMBER" > needs.txt
      - python -m pip install --quiet -r needs.txt *.whl
      - python -m own
      - own | tee again.txt && grep -q "own NUMBER" again.txt
      - head -1 "$(command -v own)" | grep -q "$(dirname "$(command -v python)")"
      - python -c 'import own; assert own.__file__.startswith(__import__("sys").prefix)'
      - python -m pip uninstall --quiet --yes own && python -c 'import own' && exit 1 || true
"""
    lines = []
    for number in (1, 1, 2):
        content = {"own.py": f"def main():\n    print('own {number}')\nif __name__ == '__main__': main()\n"}
        content["own-1.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: own\nVersion: 1\n"
        content["own-1.dist-info/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content["own-1.dist-info/entry_points.txt"] = "[console_scripts]\nown = own:main\n"
        content["own-1.dist-info/RECORD"] = "".join(f"{name},,\n" for name in content)
        wheel = tmp_path / "own-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
        build = builds.run(spec.replace("WHEEL", str(wheel)).replace("NUMBER", str(number)))
        lines.append([line for line in builds.log(build) if line.startswith("own ")])
        assert build["buildStatus"] == "SUCCEEDED", builds.log(build)
    assert lines == [["own 1"] * 2, ["own 1"] * 2, ["own 2"] * 2]


def test_a_role_that_may_not_log_fails_the_build_before_its_commands(aws: Aws) -> None:
    builds = Builds(aws)
    build = builds.run("version: 0.2\nphases: {build: {commands: ['true']}}\n")
    failed = build["phases"][1]
    assert (failed["phaseType"], failed["phaseStatus"]) == ("QUEUED", "FAILED")
    assert failed["contexts"][0]["statusCode"] == "ACCESS_DENIED"
    assert "logs:CreateLogStream" in failed["contexts"][0]["message"]


def test_a_stopped_build_ends_with_all_its_processes(builds: Builds) -> None:
    token = builds.aws.control("start-process", argv=["true"])
    build = builds.start("version: 0.2\nphases: {build: {commands: [sleep 300 & sleep 300]}}\n")
    eventually(lambda: builds.get(build)["currentPhase"] == "BUILD" and len(bearers(token)) >= 3)
    builds.client.stop_build(id=build)
    ended = builds.ended(build)
    assert (ended["buildStatus"], phases(ended)["BUILD"]) == ("STOPPED", "STOPPED")
    assert bearers(token) == []


def test_a_build_ends_when_its_time_is_up(builds: Builds) -> None:
    builds.aws.control("build-minute", seconds=0.02)
    build = builds.run("version: 0.2\nphases: {build: {commands: [sleep 300]}}\n")
    builds.aws.control("build-minute", seconds=60)
    assert build["buildStatus"] == "TIMED_OUT"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("version: 0.1", "version 0.2"),
        ("version: 0.2\nphases: {install: {runtime-versions: {python: '2.7'}}}", "Unknown runtime version named '2.7'"),
        ("version: 0.2\nphases: {biuld: {commands: [x]}}", "biuld"),
        ("version: 0.2\nphases: {build: {commands: [{a: b}]}}", "list of strings"),
        ("version: 0.2\nenv: {parameter-store: {}}", "parameter-store"),
    ],
)
def test_a_buildspec_that_is_refused(spec: str, message: str) -> None:
    with pytest.raises(buildspec.BuildspecError, match=message):
        buildspec.read(spec)


def test_artifacts_are_found_by_pattern(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/b.txt", "deep/er/c.json", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    def found(*patterns: str, excluded: tuple[str, ...] = ()) -> list[str]:
        files = buildspec.Files(patterns, excluded=excluded)
        return [path.relative_to(tmp_path).as_posix() for path in artifacts.matching(files, tmp_path)]

    assert found("**/*") == [".hidden", "a.txt", "deep/b.txt", "deep/er/c.json"]
    assert found("*.txt") == ["a.txt"]
    assert found("deep/**/*", excluded=("**/*.json",)) == ["deep/b.txt"]


PROJECT = {
    "Name": "made",
    "ServiceRole": {"Fn::GetAtt": ["Role", "Arn"]},
    "Source": {"Type": "CODEPIPELINE", "BuildSpec": "templates/buildspec.yml"},
    "Artifacts": {"Type": "CODEPIPELINE"},
    "TimeoutInMinutes": "30",
    "Environment": {
        "Type": "LINUX_CONTAINER",
        "ComputeType": "BUILD_GENERAL1_SMALL",
        "Image": "aws/codebuild/standard:8.0",
        "EnvironmentVariables": [{"Name": "A", "Value": "b"}],
    },
}


def resources(service: str, **changed: Any) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    trust = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": trust}},
        "Project": {"Type": "AWS::CodeBuild::Project", "Properties": {**PROJECT, **changed}},
    }


def test_a_stack_makes_and_removes_a_project(aws: Aws) -> None:
    assert stack(aws, "s", resources("codebuild.amazonaws.com")) == "CREATE_COMPLETE"
    client = aws.client("codebuild")
    project = client.batch_get_projects(names=["made"])["projects"][0]
    assert (project["timeoutInMinutes"], project["source"]["buildspec"]) == (30, "templates/buildspec.yml")
    assert {"key": "aws:cloudformation:stack-name", "value": "s"} in project["tags"]
    with pytest.raises(ClientError, match="CODEPIPELINE"):
        client.start_build(projectName="made")
    aws.client("cloudformation").delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    assert client.batch_get_projects(names=["made"])["projectsNotFound"] == ["made"]


def test_a_project_with_a_role_that_does_not_trust_codebuild_is_refused(aws: Aws) -> None:
    assert stack(aws, "s", resources("ec2.amazonaws.com")) == "ROLLBACK_COMPLETE"
    assert "not authorized to perform: sts:AssumeRole" in reasons(aws, "s")[0]


def test_an_unknown_property_is_refused(aws: Aws) -> None:
    assert stack(aws, "s", resources("codebuild.amazonaws.com", TimeoutInMinute=3)) == "ROLLBACK_COMPLETE"
    assert "extraneous key [TimeoutInMinute]" in reasons(aws, "s")[0]


@pytest.mark.parametrize(
    ("kind", "action", "service"),
    [
        ("PARAMETER_STORE", "ssm:GetParameters", "Decrypted Variables"),
        ("SECRETS_MANAGER", "secretsmanager:GetSecretValue", "Secrets Manager"),
    ],
)
def test_a_secret_variable_is_read_with_the_role_and_hidden_in_the_log(
    aws: Aws, kind: str, action: str, service: str
) -> None:
    stored = aws.control("store-secrets", **{"/a/login": "me:p4ssw0rd", "login": "me:p4ssw0rd"})
    address = stored["/a/login" if kind == "PARAMETER_STORE" else "login"]
    builds = Builds(aws, LOGS)
    environment = builds.client.batch_get_projects(names=["builds"])["projects"][0]["environment"]
    environment["environmentVariables"] = [{"name": "LOGIN", "value": address, "type": kind}]
    builds.client.update_project(name="builds", environment=environment)
    spec = "version: 0.2\nphases: {build: {commands: ['echo got $LOGIN and ${#LOGIN} characters']}}\n"
    refused = builds.run(spec)
    (phase,) = (phase for phase in refused["phases"] if phase.get("phaseStatus") == "FAILED")
    assert phase["phaseType"] == "DOWNLOAD_SOURCE"
    assert phase["contexts"][0]["statusCode"] == f"{service} Error Message"
    arn = address if kind == "SECRETS_MANAGER" else f"arn:aws:ssm:us-east-1:123456789012:parameter{address}"
    grant(aws, "builder", LOGS, {"Action": action, "Resource": arn})
    build = builds.run(spec)
    assert build["buildStatus"] == "SUCCEEDED"
    assert "got *** and 11 characters" in builds.log(build)
