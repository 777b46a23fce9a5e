"""A control that creates the resources of a company's account: boundary, key, network, bucket, images."""

from __future__ import annotations

import json
from typing import Any

from aws_simulator.permissions.roles import ROOT_KEY, Caller
from aws_simulator.services.sagemaker.images import ADDRESS
from aws_simulator.simulator import ACCOUNT, REGION, Simulator

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
KEY_HEADERS = ("s3:x-amz-server-side-encryption-aws-kms-key-id", "s3:x-amz-server-side-encryption")


def register(simulator: Simulator) -> None:
    simulator.add_control("company", lambda wishes: make(simulator, wishes))


def make(simulator: Simulator, wishes: dict[str, Any]) -> dict[str, Any]:
    """Create ``boundary`` (a path), ``key``, ``subnets`` and ``groups`` (numbers), ``bucket`` (a name) and ``images``.

    Return the ARNs and IDs by these names. If there is a key, the bucket requires it for each object.
    """
    owner = Caller(ROOT_KEY, ACCOUNT, REGION)
    created: dict[str, Any] = {}
    if path := wishes.get("boundary"):
        folder, _, name = str(path).rpartition("/")
        policy = {"PolicyName": name, "Path": f"{folder}/", "PolicyDocument": json.dumps(EVERYTHING)}
        created["boundary"] = simulator.client("iam", owner).create_policy(**policy)["Policy"]["Arn"]
    if wishes.get("key"):
        created["key"] = simulator.client("kms", owner).create_key(Policy=json.dumps(key_policy()))["KeyMetadata"][
            "Arn"
        ]
    if wishes.get("subnets"):
        created |= _network(simulator.client("ec2", owner), int(wishes["subnets"]), int(wishes["groups"]))
    if bucket := wishes.get("bucket"):
        _bucket(simulator.client("s3", owner), str(bucket), created.get("key", ""))
    for address in dict.fromkeys(wishes.get("images", ())):
        _push(simulator.client("ecr", owner), address)
    return created


def key_policy() -> dict[str, Any]:
    """Return the policy of a key that CloudWatch Logs, and the account's roles through IAM, may use."""
    logs = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    own, service = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, {"Service": f"logs.{REGION}.amazonaws.com"}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": own, "Action": "kms:*", "Resource": "*"},
            {"Effect": "Allow", "Principal": service, "Action": logs, "Resource": "*"},
        ],
    }


def _network(ec2: Any, subnets: int, groups: int) -> dict[str, Any]:
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    blocks = [f"10.1.{number}.0/24" for number in range(subnets)]
    names = [f"company-{number}" for number in range(groups)]
    return {
        "vpc": vpc,
        "subnets": [ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"]["SubnetId"] for block in blocks],
        "groups": [ec2.create_security_group(GroupName=n, Description=n, VpcId=vpc)["GroupId"] for n in names],
    }


def _bucket(s3: Any, name: str, key: str) -> None:
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if key:
        refused = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{name}/*"}
        headers = zip(KEY_HEADERS, (key, "aws:kms"), strict=True)
        statements = [{**refused, "Condition": {"StringNotEquals": {header: value}}} for header, value in headers]
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps({"Version": "2012-10-17", "Statement": statements}))


def _push(ecr: Any, address: str) -> None:
    """Put an image with this address into its repository, without any layer: only tags are simulated."""
    match = ADDRESS.fullmatch(address)
    if match is None or match["kind"] != ":":
        return
    if not any(each["repositoryName"] == match["name"] for each in ecr.describe_repositories()["repositories"]):
        ecr.create_repository(repositoryName=match["name"])
    manifest = {"schemaVersion": 2, "config": {"digest": f"sha256:{'0' * 64}"}, "layers": []}
    ecr.put_image(repositoryName=match["name"], imageTag=match["version"], imageManifest=json.dumps(manifest))
