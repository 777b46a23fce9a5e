"""The statements that a KMS key's policy needs, so that roles and services of the account can use the key. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

Statement = dict[str, Any]
# What the templates allow to roles by IAM; the key's policy must leave that to IAM.
OF_ROLES = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo", "CreateGrant")
OF_LOGS = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey")


def missing_statements(
    policy: Mapping[str, Any], partition: str, account: str, region: str
) -> Iterator[tuple[str, Statement]]:
    """Yield a description of each missing permission, and the missing statement; conditions count as met."""
    owner, service = f"arn:{partition}:iam::{account}:root", f"logs.{region}.amazonaws.com"
    if not _allows(policy, "AWS", (owner, account, "*"), OF_ROLES):
        yield (
            "let IAM policies allow the account's roles to use the key, as PipelineRole needs for the topic's mails",
            {"Effect": "Allow", "Principal": {"AWS": owner}, "Action": "kms:*", "Resource": "*"},
        )
    if not _allows(policy, "Service", (service,), OF_LOGS):
        actions = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
        logs = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:{partition}:logs:{region}:{account}:*"}}
        statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": actions, "Resource": "*"}
        yield "let CloudWatch Logs use the key, which encrypts the log groups", {**statement, "Condition": logs}


def _allows(policy: Mapping[str, Any], kind: str, names: tuple[str, ...], actions: tuple[str, ...]) -> bool:
    """Return True if statements for one of the principals allow all actions together."""
    patterns = [
        pattern
        for statement in _listed(policy.get("Statement"))
        if statement.get("Effect") == "Allow" and _names(statement.get("Principal"), kind, names)
        for pattern in _listed(statement.get("Action"))
    ]
    return all(any(fnmatchcase(f"kms:{action}".lower(), each.lower()) for each in patterns) for action in actions)


def _names(principal: Any, kind: str, names: tuple[str, ...]) -> bool:
    if not isinstance(principal, Mapping):
        return kind == "AWS" and principal in names
    return any(name in names for name in _listed(principal.get(kind)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
