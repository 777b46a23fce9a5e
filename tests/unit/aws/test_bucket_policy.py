"""Statements of an existing bucket's policy: they deny the project's requests, may deny them, or do not apply."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.backends.aws.doctor.policies.bucket_policy import BucketUse, Objection, objections

ACCOUNT, BUCKET = "123456789012", "arn:aws:s3:::company"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/teams/mlops-tiny-dev-pipeline-"
USE = BucketUse(BUCKET, "tiny-dev/", "mlops-tiny-dev-pipe", f"arn:aws:iam::{ACCOUNT}:user/ann", ROLE, ACCOUNT)
WITH_KEY, IN_VPC = replace(USE, key=KEY), replace(USE, vpc="vpc-1")
SSE, SSE_KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"


def denied(action: Any = "s3:*", resource: Any = f"{BUCKET}/*", principal: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Principal": principal, "Action": action, "Resource": resource, **more}


def objections_to(statement: dict[str, Any], use: BucketUse = USE) -> list[Objection]:
    return list(objections({"Statement": [{"Effect": "Allow", "Principal": "*"}, statement]}, use))


@pytest.mark.parametrize(
    ("statement", "use"),
    [
        (denied(Condition={"Bool": {"aws:SecureTransport": "false"}}), USE),
        (denied(Condition={"NumericLessThan": {"s3:TlsVersion": "1.2"}}), USE),
        (denied(resource=f"{BUCKET}/others/*"), USE),
        (denied("s3:PutBucketPolicy", BUCKET), USE),
        (denied(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/other"}), USE),
        (denied(principal={"Service": "logging.s3.amazonaws.com"}), USE),
        (denied(Condition={"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT}}), USE),
        (denied(Condition={"ArnNotLike": {"aws:PrincipalArn": [f"{ROLE}*", USE.caller]}}), USE),
        (denied(Condition={"StringNotEquals": {"aws:PrincipalAccount": ACCOUNT, "aws:SourceVpce": "vpce-1"}}), USE),
        (denied("s3:PutObject", NotResource=f"{BUCKET}/*", resource=None), USE),
    ],
)
def test_statements_that_refuse_nothing(statement: dict[str, Any], use: BucketUse) -> None:
    assert objections_to({key: value for key, value in statement.items() if value is not None}, use) == []


@pytest.mark.parametrize(
    ("statement", "use", "principal"),
    [
        (denied(), USE, USE.caller),
        (denied(principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"}), USE, USE.caller),
        ({**denied(), "NotPrincipal": {"AWS": USE.caller}, "Principal": None}, USE, f"{ROLE}StageRole-AAAAAAAAAAAA"),
        (denied("s3:Put*", Condition={"StringNotEquals": {SSE: "aws:kms"}}), USE, USE.caller),
        (denied("s3:PutObject", Condition={"Null": {SSE_KEY: "true"}}), USE, USE.caller),
        (denied("s3:PutObject", Condition={"StringNotEqualsIfExists": {SSE_KEY: "another"}}), WITH_KEY, USE.caller),
        (denied(Condition={"StringNotEquals": {"aws:SourceVpce": "vpce-1"}}), USE, f"{ROLE}StageRole-AAAAAAAAAAAA"),
        (denied(Condition={"StringNotLike": {"aws:sourceVpc": "vpc-1"}}), IN_VPC, f"{ROLE}PipelineRole-AAAAAAAAAAAA"),
        (denied("s3:List*", [BUCKET]), USE, USE.caller),
        (denied(None, NotAction="s3:GetObject"), USE, USE.caller),
    ],
)
def test_statements_that_refuse_a_request(statement: dict[str, Any], use: BucketUse, principal: str) -> None:
    (objection,) = objections_to({key: value for key, value in statement.items() if value is not None}, use)
    assert (objection.request.principal, objection.unknown, objection.statement) == (principal, [], "statement 2")


@pytest.mark.parametrize(
    ("condition", "keys"),
    [
        ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, ["aws:SourceIp"]),
        ({"StringNotEquals": {"aws:PrincipalOrgID": "o-1", SSE: "aws:kms"}}, ["aws:PrincipalOrgID"]),
        ({"ForAnyValue:StringEquals": {"aws:CalledVia": "a"}}, ["aws:CalledVia"]),
        (
            {"StringNotEquals": {"aws:PrincipalArn": "arn:aws:iam::1:role/${aws:username}"}},
            ["aws:PrincipalArn"],
        ),
        ({"NumericLessThan": {"s3:TlsVersion": "1.3"}}, ["s3:TlsVersion"]),
    ],
)
def test_what_depends_on_a_condition_that_nobody_knows_before(condition: dict[str, Any], keys: list[str]) -> None:
    (objection,) = objections_to(denied(Condition=condition))
    assert (objection.unknown, objection.is_about_checkpoints) == (keys, False)


@pytest.mark.parametrize("condition", [{"StringNotEquals": {SSE: "aws:kms"}}, {"Null": {SSE_KEY: "true"}}])
def test_with_the_key_that_is_demanded_only_checkpoints_are_unknown(condition: dict[str, Any]) -> None:
    statement = denied("s3:PutObject", Sid="DenyPlain", Condition=condition)
    (objection,) = objections_to(statement, WITH_KEY)
    assert (objection.statement, objection.is_about_checkpoints) == ("DenyPlain", True)
    outside = {**statement, "NotResource": f"{BUCKET}/tiny-dev/checkpoints/*"}
    assert objections_to({key: value for key, value in outside.items() if key != "Resource"}, WITH_KEY) == []
