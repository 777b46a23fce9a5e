"""A KMS key policy: what it must allow so that the account's roles and services can use the key. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.backends.aws.doctor.policies.policy_documents import (
    PolicyRequest,
    Statement,
    applies,
    conditions,
    statements,
)

# The actions that the templates allow to roles in IAM. The key's policy must delegate them to IAM.
OF_ROLES = ("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey", "ReEncryptFrom", "ReEncryptTo", "CreateGrant")
OF_LOGS = ("Encrypt", "Decrypt", "ReEncryptFrom", "ReEncryptTo", "GenerateDataKey", "DescribeKey")
LOGS_CONTEXT = "kms:EncryptionContext:aws:logs:arn"


class KeyPolicy:
    """The policy, and the requests of roles and of CloudWatch Logs. ``role``: the ARN of any role of the project."""

    def __init__(self, policy: Mapping[str, Any], role: str, region: str) -> None:
        self._policy = policy
        _, self._partition, _, _, self._account, _ = role.split(":", 5)
        self._region = region
        self._service = f"logs.{region}.amazonaws.com"
        self._group = f"arn:{self._partition}:logs:{region}:{self._account}:log-group:x"
        self._of_roles = [self._request(role, action) for action in OF_ROLES]
        self._of_logs = [self._request(self._service, action) for action in OF_LOGS]

    def _request(self, principal: str, action: str) -> PolicyRequest:
        of_service = principal == self._service
        values: dict[str, str | None] = {"kms:calleraccount": self._account}
        if of_service:
            values |= {LOGS_CONTEXT.lower(): self._group}
        else:
            values |= {"aws:principalarn": principal, "aws:principalaccount": self._account}
        return PolicyRequest(principal, f"kms:{action}", "*", self._account, values)

    def missing_statements(self) -> Iterator[tuple[str, Statement]]:
        """Yield each permission that no statement gives, in words, and a statement that would give it."""
        if not self._allows(self._of_roles):
            owner = f"arn:{self._partition}:iam::{self._account}:root"
            yield (
                "leave it to IAM which of the account's roles use the key, as PipelineRole does for the topic's mails",
                {"Effect": "Allow", "Principal": {"AWS": owner}, "Action": "kms:*", "Resource": "*"},
            )
        if not self._allows(self._of_logs):
            actions = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
            groups = {"ArnLike": {LOGS_CONTEXT: f"arn:{self._partition}:logs:{self._region}:{self._account}:*"}}
            statement = {"Effect": "Allow", "Principal": {"Service": self._service}, "Action": actions}
            yield (
                "let CloudWatch Logs use the key, which encrypts the log groups",
                {**statement, "Resource": "*", "Condition": groups},
            )

    def _allows(self, requests: list[PolicyRequest]) -> bool:
        """Return True if the statements allow all requests together. An unknown condition counts as met."""
        allowing = [statement for _, statement in statements(self._policy, "Allow")]
        return all(any(applies(each, request) is not False for each in allowing) for request in requests)

    def refusing_statements(self) -> Iterator[str]:
        """Yield the names of statements that deny one of the requests."""
        for name, statement in statements(self._policy, "Deny"):
            if any(applies(statement, request) for request in (*self._of_roles, *self._of_logs)):
                yield name

    def unknown_conditions(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the statements that decide and have unknown conditions, with the keys of these conditions."""
        for effect in ("Allow", "Deny"):
            for name, statement in statements(self._policy, effect):
                keys = [
                    key
                    for request in (*self._of_roles, *self._of_logs)
                    if applies(statement, request) is None and not self._decided(request, effect)
                    for key, answer in conditions(statement, request).items()
                    if answer is None
                ]
                if keys:
                    yield name, list(dict.fromkeys(keys))

    def _decided(self, request: PolicyRequest, effect: str) -> bool:
        """Return True if another statement with this effect applies unconditionally."""
        return any(applies(statement, request) for _, statement in statements(self._policy, effect))
