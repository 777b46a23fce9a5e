"""A KMS key's policy, as far as the account's roles and CloudWatch Logs need it."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_cli.backends.aws.doctor.key_policy import missing_statements

ACCOUNT, REGION = "123456789012", "eu-west-1"
ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
LOGS = {
    "Effect": "Allow",
    "Principal": {"Service": [f"logs.{REGION}.amazonaws.com"]},
    "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
    "Resource": "*",
}


def missing(*statements: Any) -> list[tuple[str, dict[str, Any]]]:
    return list(missing_statements({"Statement": list(statements)}, "aws", ACCOUNT, REGION))


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
