"""Common set-up for the simulator's own tests."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

from aws_simulator.fixture import Aws

SECONDS = 600.0


def zipped(files: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def bucket(aws: Aws, name: str) -> Any:
    """Create a versioned bucket. Return the S3 client."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return s3


def role(aws: Aws, name: str, service: str, *statements: Mapping[str, Any]) -> str:
    """Create a role that ``service`` may assume. Return its ARN."""
    iam = aws.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    grant(aws, name, *statements)
    return str(arn)


def grant(aws: Aws, name: str, *statements: Mapping[str, Any]) -> None:
    """Replace a role's permissions."""
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    if statements:
        aws.client("iam").put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))


def user(aws: Aws, name: str, *statements: Mapping[str, Any]) -> dict[str, str]:
    """Create a user. Return credentials for ``aws.client``."""
    iam = aws.client("iam")
    iam.create_user(UserName=name)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in statements]}
    if statements:
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def stack(aws: Aws, name: str, resources: Mapping[str, Any], role: str = "", **outputs: Any) -> str:
    """Create a stack and wait. Return its status."""
    template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
    arguments = {"RoleARN": role} if role else {}
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(
        StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"], **arguments
    )
    return settled(aws, name)


def settled(aws: Aws, name: str) -> str:
    """Return the status of a stack once nothing is in progress; DELETE_COMPLETE if it does not exist."""
    cloudformation = aws.client("cloudformation")

    def status() -> str:
        try:
            status = str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])
        except cloudformation.exceptions.ClientError:
            return "DELETE_COMPLETE"
        return "" if status.endswith("_IN_PROGRESS") else status

    return str(eventually(status))


def reasons(aws: Aws, name: str) -> list[str]:
    """Return why resources of a stack failed, the oldest failure first."""
    events = aws.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    return [event["ResourceStatusReason"] for event in reversed(events) if event["ResourceStatus"].endswith("_FAILED")]


def eventually(look: Callable[[], Any]) -> Any:
    """Return the first true value. Fail the test if there is none in time."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if value := look():
            return value
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def aged(aws: Aws, name: str, days: int) -> None:
    """Apply a bucket's lifecycle rules to objects and versions of this age."""
    client = aws.client("s3")
    for rule in client.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]:
        listed = client.list_object_versions(Bucket=name, Prefix=(rule.get("Filter") or {}).get("Prefix", ""))
        noncurrent = days >= (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays", days + 1)
        expires = days >= (rule.get("Expiration") or {}).get("Days", days + 1)
        for version in listed.get("Versions", ()):
            if expires and version["IsLatest"]:
                client.delete_object(Bucket=name, Key=version["Key"])
            if noncurrent and not version["IsLatest"]:
                client.delete_object(Bucket=name, Key=version["Key"], VersionId=version["VersionId"])
