"""iam:SimulatePrincipalPolicy: every requested resource, the given context, an unknown principal.

ministack checks only the first resource, without a context, knows every principal, and requires the permission on "*".
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.iam_evaluator import EvalContext
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam

DECISIONS = {"Allow": "allowed", "Deny": "explicitDeny"}


def install() -> None:
    iam._IAM_HANDLERS["SimulatePrincipalPolicy"] = simulate
    extract = iam_actions.extract_resource_arn

    def extracted(
        service: str, method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any], *more: Any
    ) -> Any:
        """The permission to simulate is a permission on the principal."""
        principal = iam._p(query, "PolicySourceArn") if service == "iam" else ""
        return principal or extract(service, method, path, headers, body, query, *more)

    iam_actions.extract_resource_arn = extracted


def simulate(parameters: dict[str, Any]) -> Any:
    principal = iam._p(parameters, "PolicySourceArn")
    kind, _, path = principal.split(":")[5].partition("/")
    if kind not in ("user", "role"):
        message = "Invalid Entity Arn: it must be of a user, group or role."
        return iam._error(400, "InvalidInput", message, ns="iam")
    name = path.rpartition("/")[2]
    principals = iam._users if kind == "user" else iam._roles
    entity = principals.get(name)
    if entity is None or entity["Arn"] != principal:
        return iam._error(404, "NoSuchEntity", f"The {kind} {principal} cannot be found.", ns="iam")
    gather = iam_evaluator._gather_user_policies if kind == "user" else iam_evaluator._gather_role_policies
    policies = gather(name, get_account_id())
    actions = _members(parameters, "ActionNames.member.{}")
    resources = _members(parameters, "ResourceArns.member.{}") or ["*"]
    context = _context(parameters)
    results = "".join(
        _result(action, resource, principal, policies, context) for action, resource in product(actions, resources)
    )
    body = f"<EvaluationResults>{results}</EvaluationResults><IsTruncated>false</IsTruncated>"
    tag = "SimulatePrincipalPolicy"
    return iam._xml(200, f"{tag}Response", f"<{tag}Result>{body}</{tag}Result>", ns="iam")


def _members(parameters: dict[str, Any], form: str) -> list[str]:
    policies = []
    while value := iam._p(parameters, form.format(len(policies) + 1)):
        policies.append(value)
    return policies


def _context(parameters: dict[str, Any]) -> dict[str, Any]:
    names = _members(parameters, "ContextEntries.member.{}.ContextKeyName")
    return {
        name.lower(): iam._p(parameters, f"ContextEntries.member.{number}.ContextKeyValues.member.1")
        for number, name in enumerate(names, 1)
    }


def _result(action: str, resource: str, principal: str, policies: Any, context: dict[str, Any]) -> str:
    evaluation = EvalContext(
        principal_arn=principal,
        principal_type="User",
        principal_account=get_account_id(),
        action=action,
        resource_arn=resource,
        region=get_region(),
        service_context=context,
    )
    decision = iam_evaluator.evaluate(evaluation, policies).decision
    return (
        f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>{resource}</EvalResourceName>"
        f"<EvalDecision>{DECISIONS.get(decision, 'implicitDeny')}</EvalDecision>"
        "<MatchedStatements></MatchedStatements><MissingContextValues></MissingContextValues></member>"
    )
