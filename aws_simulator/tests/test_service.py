"""The base of every service: requests and responses fit AWS's models, IAM is exact, and no process remains."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack import app

from aws_simulator import answers, shapes
from aws_simulator.accounts import eventually, role, settled, stack, user
from aws_simulator.fixture import ROOT, Aws, start, stop
from aws_simulator.processes import bearers

REPOSITORY = "arn:aws:codecommit:us-east-1:123456789012:"


def test_an_owner_has_all_permissions_and_a_user_those_of_its_policy(aws: Aws) -> None:
    owner = aws.client("codecommit")
    for name in ("ours", "theirs"):
        owner.create_repository(repositoryName=name)
    reader = aws.client(
        "codecommit", **user(aws, "reader", {"Action": "codecommit:Get*", "Resource": f"{REPOSITORY}ours"})
    )
    assert reader.get_repository(repositoryName="ours")["repositoryMetadata"]["repositoryName"] == "ours"
    with pytest.raises(ClientError, match=r"AccessDeniedException.*codecommit:GetRepository.*:theirs"):
        reader.get_repository(repositoryName="theirs")
    with pytest.raises(ClientError, match=r"codecommit:DeleteRepository"):
        reader.delete_repository(repositoryName="ours")


def test_a_request_that_the_model_forbids_is_refused_with_every_reason(aws: Aws) -> None:
    import boto3
    from botocore.config import Config

    unchecked = boto3.client(
        "codecommit",
        endpoint_url=aws.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(parameter_validation=False),
    )
    with pytest.raises(ClientError, match="ValidationException") as refused:
        unchecked.create_repository(repositoryName="a b", repositoryDescription="x" * 1001)
    assert "2 validation errors" in str(refused.value)
    assert "regular expression pattern" in str(refused.value)
    assert "less than or equal to 1000" in str(refused.value)


def test_shapes_are_checked_down_to_enums_patterns_and_lengths() -> None:
    import botocore.session

    shape = botocore.session.get_session().get_service_model("codecommit").operation_model("CreateCommit").input_shape
    good = {"repositoryName": "r", "branchName": "b", "putFiles": [{"filePath": "p", "fileMode": "NORMAL"}]}
    assert list(shapes.problems(good, shape)) == []
    bad = {"repositoryName": "r", "branchName": "", "putFiles": [{"fileMode": "LOUD"}], "extra": 1}
    problems = "\n".join(shapes.problems(bad, shape))
    assert "'branchName' failed to satisfy constraint: Member must have length greater than or equal to 1" in problems
    assert "Value null at 'putFiles.1.member.filePath'" in problems
    assert "Value 'LOUD' at 'putFiles.1.member.fileMode'" in problems
    assert "'extra' failed to satisfy constraint: Member is not known" in problems


def test_properties_become_a_request() -> None:
    import botocore.session

    model = botocore.session.get_session().get_service_model("codebuild")
    shape = model.shape_for("ProjectEnvironment")
    properties = {"Type": "LINUX_CONTAINER", "Image": "i", "ComputeType": "c", "PrivilegedMode": "false"}
    request = shapes.from_properties(properties, shape)
    assert request == {"type": "LINUX_CONTAINER", "image": "i", "computeType": "c", "privilegedMode": False}
    with pytest.raises(ValueError, match=r"extraneous key \[Imag\]"):
        shapes.from_properties({"Imag": "i"}, shape)


def test_an_operation_that_the_simulator_lacks_is_refused_loudly(aws: Aws) -> None:
    with pytest.raises(ClientError, match="UnknownOperationException"):
        aws.client("codecommit").list_pull_requests(repositoryName="x")


def test_a_response_of_ministack_that_does_not_fit_aws_models_is_found() -> None:
    """The check wraps a service that answers with a member that no model has."""

    async def wrong(*_: object) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b'{"Parameters": [{"Name": "/a", "Colour": "red"}]}'

    noticed: list[str] = []
    simulator: Any = SimpleNamespace(drifted=noticed.append)
    before = dict(app.SERVICE_HANDLERS)
    try:
        app.SERVICE_HANDLERS["ssm"] = wrong
        answers.install(simulator)
        target = {"x-amz-target": "AmazonSSM.DescribeParameters"}
        asyncio.run(app.SERVICE_HANDLERS["ssm"]("POST", "/", target, b"{}", {}))
    finally:
        app.SERVICE_HANDLERS.update(before)
    (drift,) = noticed
    assert drift.startswith("ssm:DescribeParameters answered Value at 'Parameters.1.member.Colour'")


def test_a_stack_keeps_its_role_until_it_is_gone(aws: Aws) -> None:
    repository = {"R": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "r"}}}
    may = {"Action": ["codecommit:CreateRepository", "codecommit:DeleteRepository"], "Resource": "*"}
    arn = role(aws, "deployer", "cloudformation.amazonaws.com", may)
    assert stack(aws, "s", repository, role=arn) == "CREATE_COMPLETE"
    cloudformation, iam = aws.client("cloudformation"), aws.client("iam")
    iam.delete_role_policy(RoleName="deployer", PolicyName="p")
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_FAILED"
    iam.delete_role(RoleName="deployer")
    with pytest.raises(ClientError, match="is invalid or cannot be assumed"):
        cloudformation.delete_stack(StackName="s")
    role(aws, "deployer", "cloudformation.amazonaws.com", may)
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    iam.delete_role_policy(RoleName="deployer", PolicyName="p")
    assert stack(aws, "s", repository) == "CREATE_COMPLETE"


def test_a_killed_simulator_leaves_no_process(tmp_path: Path) -> None:
    aws = start(tmp_path)
    token = aws.control("start-process", argv=["bash", "-c", "sleep 300 & exec setsid sleep 300"])
    eventually(lambda: len(bearers(token)) == 2)
    aws.process.send_signal(signal.SIGKILL)
    assert eventually(lambda: not bearers(token))
    aws.process.wait()


def test_the_simulator_ends_with_its_parent(tmp_path: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from aws_simulator.fixture import start
print(start(Path({str(tmp_path)!r})).process.pid, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    simulator = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdout.close()
    eventually(lambda: not _alive(simulator))


def test_a_stopped_simulator_leaves_no_process(tmp_path: Path) -> None:
    aws = start(tmp_path)
    token = aws.control("start-process", argv=["sleep", "300"])
    eventually(lambda: bearers(token))
    stop(aws)
    assert bearers(token) == []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and ") Z " in status.read_text())


def test_a_copy_has_the_checksum_that_was_asked_for(aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="ours")
    s3.put_object(Bucket="ours", Key="a", Body=b"abc")
    s3.copy_object(Bucket="ours", Key="b", CopySource="ours/a", ChecksumAlgorithm="SHA256")
    checksum = s3.head_object(Bucket="ours", Key="b", ChecksumMode="ENABLED")["ChecksumSHA256"]
    assert base64.b64decode(checksum) == hashlib.sha256(b"abc").digest()
