"""A KMS key's policy: the permissions for the account's roles and for CloudWatch Logs."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.backends.aws.doctor.policies.key_policy import KeyPolicy

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
LOGS = {
    "Effect": "Allow",
    "Principal": {"Service": [f"logs.{REGION}.amazonaws.com"]},
    "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
    "Resource": "*",
}


ROLE = f"arn:aws:iam::{ACCOUNT}:role/mlops-tiny-dev-pipeline-JobRole-A"
VIA = {"StringEquals": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}}


def policy(*statements: Any) -> KeyPolicy:
    return KeyPolicy({"Statement": list(statements)}, ROLE, REGION)


def missing(*statements: Any) -> list[tuple[str, Any]]:
    return list(policy(*statements).missing_statements())


@pytest.mark.parametrize("owner", [ROOT, {**ROOT, "Principal": {"AWS": [ACCOUNT]}}, {**ROOT, "Principal": "*"}])
def test_a_policy_that_leaves_it_to_iam_and_lets_logs_use_the_key_lacks_nothing(owner: dict[str, Any]) -> None:
    assert missing(owner, LOGS) == []


@pytest.mark.parametrize(
    "logs",
    [
        {**LOGS, "Principal": {"Service": "logs.us-east-1.amazonaws.com"}},
        {**LOGS, "Effect": "Deny"},
        {**LOGS, "Action": ["kms:Encrypt*", "kms:Decrypt*"]},
        {**LOGS, "Principal": {"AWS": f"logs.{REGION}.amazonaws.com"}},
    ],
)
def test_the_statement_that_is_missing_is_named_and_is_all_that_is_missing(logs: dict[str, Any]) -> None:
    ((purpose, statement),) = missing(ROOT, logs)
    assert "CloudWatch Logs" in purpose
    assert statement["Principal"] == {"Service": f"logs.{REGION}.amazonaws.com"}
    assert missing(ROOT, logs, statement) == []


def test_a_key_for_one_role_alone_leaves_nothing_to_iam() -> None:
    of_one = {**ROOT, "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/one"}}
    ((purpose, statement),) = missing(of_one, LOGS)
    assert "IAM" in purpose
    assert missing(of_one, LOGS, statement) == []


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"kms:CallerAccount": "999999999999"}},
        {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/others-*"}},
        {"Bool": {"kms:CallerAccount": "true"}},
    ],
)
def test_a_statement_whose_condition_the_roles_do_not_meet_allows_nothing(condition: dict[str, Any]) -> None:
    ((purpose, _),) = missing({**ROOT, "Condition": condition}, LOGS)
    assert "IAM" in purpose


def test_logs_of_other_groups_are_no_logs_of_ours() -> None:
    arn = {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:us-east-1:{ACCOUNT}:*"}
    assert len(missing(ROOT, {**LOGS, "Condition": {"ArnLike": arn}})) == 1
    own = {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:*"}
    assert missing(ROOT, {**LOGS, "Condition": {"ArnLike": own}}) == []


def test_a_condition_that_is_not_known_is_named_where_it_decides() -> None:
    depends = {**ROOT, "Sid": "ViaS3", "Condition": VIA}
    assert missing(depends, LOGS) == []
    assert list(policy(depends, LOGS).unknown_conditions()) == [("ViaS3", ["kms:ViaService"])]
    assert list(policy(depends, ROOT, LOGS).unknown_conditions()) == [], "another statement allows it in any case"
    refuses = {**ROOT, "Effect": "Deny", "Condition": VIA}
    assert list(policy(ROOT, LOGS, refuses).unknown_conditions()) == [("statement 3", ["kms:ViaService"])]


def test_a_statement_that_denies_is_named() -> None:
    refuses = {**ROOT, "Effect": "Deny", "Sid": "NoGrants", "Action": "kms:CreateGrant"}
    assert list(policy(ROOT, LOGS, refuses).refusing_statements()) == ["NoGrants"]
    elsewhere = {**refuses, "Condition": {"StringNotEquals": {"kms:CallerAccount": ACCOUNT}}}
    assert list(policy(ROOT, LOGS, elsewhere).refusing_statements()) == []
