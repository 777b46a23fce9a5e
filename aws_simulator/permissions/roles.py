"""Callers: credentials of people, and of roles that services assume."""

from __future__ import annotations

import contextvars
import dataclasses
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import AuthError, EvalContext, fnmatch_iam
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import iam, sts

from aws_simulator.errors import ServiceError

SESSION_SECONDS = 12 * 3600
ROOT_KEY = "test"


@dataclasses.dataclass(frozen=True)
class Caller:
    """A caller with credentials in an account and a region: a person, or a role that a service has assumed."""

    access_key: str
    account: str
    region: str

    @property
    def arn(self) -> str:
        credential = iam_evaluator.resolve_credential(self.access_key, self.account)
        return getattr(credential, "principal_arn", "") or f"arn:aws:iam::{self.account}:root"

    @property
    def role(self) -> str:
        """The name of the role behind the credentials; empty for a person."""
        return self.arn.split("/")[1] if ":assumed-role/" in self.arn else ""

    @property
    def credentials(self) -> dict[str, str]:
        """The credentials as environment variables."""
        session = sts._sessions.get(self.access_key) or {}
        credentials = session or iam._access_keys.get_scoped(self.account, None, self.access_key) or {}
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.get("SecretAccessKey", ROOT_KEY),
            "AWS_SESSION_TOKEN": session.get("SessionToken", ""),
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def require(self, action: str, resource: str = "*", context: Mapping[str, Any] | None = None) -> None:
        """Raise AccessDeniedException unless a policy of the caller allows the action on the resource."""
        with request_scope(self.account, self.region):
            service = action.partition(":")[0]
            denied = iam_evaluator.enforce(self.access_key, action, service, self.region, resource, dict(context or {}))
        if denied is None:
            return
        if isinstance(denied, AuthError):
            raise ServiceError(denied.code, denied.message, 403)
        message = iam_actions.identity_denial_message(action, self.arn, resource, denied.decision == "Deny")
        raise ServiceError("AccessDeniedException", message)

    def require_pass_role(self, role_arn: str, service: str) -> None:
        """Require iam:PassRole of ``role_arn`` to ``service`` (sagemaker.amazonaws.com …)."""
        self.require("iam:PassRole", role_arn, {"iam:PassedToService": service})


CURRENT: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("simulator_caller", default=None)


def root() -> Caller:
    """Return the account's owner, in the account and region of the present request."""
    return Caller(ROOT_KEY, get_account_id(), get_region())


def assume(role_arn: str, service: str, session: str, source_arn: str = "") -> Caller:
    """Return the role as ``service`` (codebuild.amazonaws.com …) assumes it for the resource ``source_arn``.

    Raise AccessDeniedException if there is no such role or if it does not trust the service. Without a ``source_arn``,
    the trust policy's conditions on aws:SourceArn count as met.
    """
    account, name = (role_arn.split(":") + [""] * 5)[4], role_arn.rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or not _trusts(role.get("AssumeRolePolicyDocument", "{}"), service, role_arn, source_arn):
        message = f"{service} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        raise ServiceError("AccessDeniedException", message)
    access_key = "ASIA" + secrets.token_hex(8).upper()
    record = {
        "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        "UserId": f"{role.get('RoleId', 'AROA')}:{session}",
        "SecretAccessKey": secrets.token_hex(20),
        "SessionToken": secrets.token_hex(40),
        "Expiration": time.time() + SESSION_SECONDS,
        "AccountId": account,
        "PrincipalType": "AssumedRole",
    }
    sts.register_session(access_key, record)
    return Caller(access_key, account, get_region())


def _trusts(document: Any, service: str, role_arn: str, source_arn: str) -> bool:
    """Return True if a trust policy lets a service assume the role. ministack itself checks only AWS principals."""
    policy = json.loads(document) if isinstance(document, str) else document
    context = EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=role_arn.split(":")[4],
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=get_region(),
        service_context={"aws:sourceaccount": role_arn.split(":")[4], "aws:sourcearn": source_arn},
    )
    return any(_allows(statement, service, source_arn, context) for statement in _listed(policy.get("Statement")))


def _allows(statement: Mapping[str, Any], service: str, source_arn: str, context: EvalContext) -> bool:
    principal = statement.get("Principal")
    named = isinstance(principal, dict) and service in _listed(principal.get("Service"))
    allows_role = any(fnmatch_iam("sts:AssumeRole", action) for action in _listed(statement.get("Action")))
    if statement.get("Effect") != "Allow" or not named or not allows_role:
        return False
    conditions = statement.get("Condition") or {}
    values = {
        operator: {key: value for key, value in keys.items() if source_arn or key.lower() != "aws:sourcearn"}
        for operator, keys in conditions.items()
    }
    return iam_evaluator._conditions_met({operator: keys for operator, keys in values.items() if keys}, context)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
