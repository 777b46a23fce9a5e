"""Who calls: credentials of people and roles, and the record of what each role was allowed and refused."""

from __future__ import annotations

import contextvars
import dataclasses
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_evaluator import AuthError, EvalContext, fnmatch_iam
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import iam, sts

from .errors import ServiceError

SESSION_SECONDS = 12 * 3600
ROOT_KEY = "test"


@dataclasses.dataclass(frozen=True)
class Caller:
    """Somebody with credentials, in an account and a region: a person, or a role that a service has assumed."""

    access_key: str
    account: str
    region: str

    @property
    def arn(self) -> str:
        session = sts._sessions.get(self.access_key)
        return str(session["Arn"]) if session else f"arn:aws:iam::{self.account}:root"

    @property
    def role(self) -> str:
        """The name of the role behind the credentials; empty for a person."""
        return self.arn.split("/")[1] if ":assumed-role/" in self.arn else ""

    @property
    def credentials(self) -> dict[str, str]:
        """The credentials as environment variables."""
        session = sts._sessions.get(self.access_key)
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"] if session else ROOT_KEY,
            "AWS_SESSION_TOKEN": session["SessionToken"] if session else "",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
        }

    def require(self, action: str, resource: str = "*", context: Mapping[str, Any] | None = None) -> None:
        """Raises AccessDeniedException unless a policy of the caller allows the action on the resource."""
        with request_scope(self.account, self.region):
            service = action.partition(":")[0]
            denied = iam_evaluator.enforce(self.access_key, action, service, self.region, resource, dict(context or {}))
        if denied is None:
            return
        if isinstance(denied, AuthError):
            raise ServiceError(denied.code, denied.message, 403)
        why = "with an explicit deny in" if denied.decision == "Deny" else "because no"
        end = (
            "an identity-based policy"
            if denied.decision == "Deny"
            else f"identity-based policy allows the {action} action"
        )
        message = f"User: {self.arn} is not authorized to perform: {action} on resource: {resource} {why} {end}"
        raise ServiceError("AccessDeniedException", message)

    def require_pass_role(self, role_arn: str, service: str) -> None:
        """iam:PassRole of ``role_arn`` to ``service`` (sagemaker.amazonaws.com …); and the role must trust it."""
        self.require("iam:PassRole", role_arn, {"iam:PassedToService": service})


CURRENT: contextvars.ContextVar[Caller | None] = contextvars.ContextVar("simulator_caller", default=None)


def root() -> Caller:
    """The account's owner, in the account and region of the request at hand."""
    return Caller(ROOT_KEY, get_account_id(), get_region())


def assume(role_arn: str, service: str, session: str, region: str | None = None) -> Caller:
    """The role as ``service`` (codebuild.amazonaws.com …) assumes it; raises if it is absent or does not trust it."""
    account, name = (role_arn.split(":") + [""] * 5)[4], role_arn.rpartition("/")[2]
    role = iam._roles.get_scoped(account, None, name)
    if role is None or not _trusts(role.get("AssumeRolePolicyDocument", "{}"), service, role_arn):
        raise ServiceError(
            "AccessDeniedException", f"{service} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        )
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
    return Caller(access_key, account, region or get_region())


def _trusts(document: Any, service: str, role_arn: str) -> bool:
    """Whether a trust policy lets a service assume the role (ministack itself looks at AWS principals only)."""
    statements = iam_evaluator.json.loads(document) if isinstance(document, str) else document
    found = statements.get("Statement", [])
    for statement in [found] if isinstance(found, dict) else found:
        principals = (
            (statement.get("Principal") or {}).get("Service", [])
            if isinstance(statement.get("Principal"), dict)
            else []
        )
        actions = statement.get("Action", [])
        named = service in ([principals] if isinstance(principals, str) else principals)
        allowed = any(
            fnmatch_iam("sts:AssumeRole", action) for action in ([actions] if isinstance(actions, str) else actions)
        )
        account = role_arn.split(":")[4]
        context = EvalContext(
            service,
            "Service",
            account,
            "sts:AssumeRole",
            role_arn,
            get_region(),
            service_context={"aws:sourceaccount": account},
        )
        if statement.get("Effect") == "Allow" and named and allowed and _conditions(statement, context):
            return True
    return False


def _conditions(statement: Mapping[str, Any], context: EvalContext) -> bool:
    """aws:SourceArn is not known to the simulator when a role is assumed, so a condition on it is taken as met."""
    known = {
        operator: {key: value for key, value in keys.items() if key.lower() != "aws:sourcearn"}
        for operator, keys in (statement.get("Condition") or {}).items()
    }
    return iam_evaluator._conditions_met({operator: keys for operator, keys in known.items() if keys}, context)


class Ledger:
    """Which permissions each role used, and which it asked for in vain."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str, bool], int] = {}

    def install(self) -> None:
        """Listen to every decision that ministack's evaluator takes, in its own services and in ours."""
        decide: Callable[..., Any] = iam_evaluator.enforce

        def enforce(
            access_key_id: str,
            iam_action: str,
            service: str,
            region: str,
            resource_arn: str = "*",
            service_context: Any = None,
        ) -> Any:
            decision = decide(access_key_id, iam_action, service, region, resource_arn, service_context)
            session = sts._sessions.get(access_key_id)
            if session and ":assumed-role/" in session["Arn"]:
                self._note(session["Arn"].split("/")[1], iam_action, resource_arn, decision is None)
            return decision

        iam_evaluator.enforce = enforce

    def _note(self, role: str, action: str, resource: str, allowed: bool) -> None:
        with self._lock:
            key = (role, action, resource, allowed)
            self._entries[key] = self._entries.get(key, 0) + 1

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def entries(self, allowed: bool | None = None) -> list[dict[str, Any]]:
        """role, action, resource, allowed and how often, in a stable order."""
        with self._lock:
            found = sorted(self._entries.items())
        names = ("role", "action", "resource", "allowed")
        return [
            {**dict(zip(names, key, strict=True)), "times": times} for key, times in found if allowed in (None, key[3])
        ]

    def unused(self) -> list[dict[str, str]]:
        """Action patterns in the policies of the roles seen so far that no allowed call of theirs has needed."""
        used = {(entry["role"], entry["action"]) for entry in self.entries(allowed=True)}
        roles = {role for role, _ in used}
        return [
            {"role": role, "action": pattern}
            for role in sorted(roles)
            for pattern in sorted(set(_granted(role)))
            if not any(fnmatch_iam(action, pattern) for name, action in used if name == role)
        ]


def _granted(role: str) -> Iterator[str]:
    for statements in iam_evaluator._gather_role_policies(role, get_account_id()):
        for statement in statements:
            if statement.effect == "Allow":
                yield from statement.actions
