"""The statements of a resource policy: does a statement apply to a request? Yes, no, or unknown. No IO."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]
# The third value: a condition depends on something that is unknown before the request.
Answer = bool | None
IF_EXISTS = "IfExists"
VARIABLE = "${"


@dataclass(frozen=True)
class PolicyRequest:
    """One request.

    ``values``: condition keys in lower case. None: the request does not send the key. A number: the request sends at
    least this number. A missing key is unknown.
    """

    principal: str
    action: str
    resource: str
    account: str
    values: Mapping[str, str | None] = field(default_factory=dict)


def statements(policy: Mapping[str, Any], effect: str) -> Iterator[tuple[str, Statement]]:
    """Yield the statements with this effect, with their names: the Sid, or the number."""
    for number, statement in enumerate(listed(policy.get("Statement")), 1):
        if statement.get("Effect") == effect:
            yield str(statement.get("Sid") or f"statement {number}"), statement


def applies(statement: Statement, request: PolicyRequest) -> Answer:
    return every(
        [
            _principal_matches(statement, request),
            _text_matches(statement, "Action", request.action.lower()),
            _text_matches(statement, "Resource", request.resource),
            *conditions(statement, request).values(),
        ]
    )


def conditions(statement: Statement, request: PolicyRequest) -> dict[str, Answer]:
    """Return for each condition key True if its condition is met."""
    answers: dict[str, Answer] = {}
    for operator, keys in statement.get("Condition", {}).items():
        for key, values in keys.items():
            answers[key] = every([answers.get(key, True), _is_met(operator, key, listed(values), request)])
    return answers


def every(answers: list[Answer]) -> Answer:
    """Return False if one answer is, else None if one is unknown, else True."""
    return False if False in answers else None if None in answers else True


def matches(pattern: str, text: str) -> bool:
    """Return True if the text matches an IAM pattern: ``*`` and ``?`` are its only wildcards."""
    parts = (".*" if part == "*" else "." if part == "?" else re.escape(part) for part in re.split(r"([*?])", pattern))
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text_matches(statement: Statement, element: str, text: str) -> bool:
    """Return True if the statement's Action or Resource (or NotAction, NotResource) covers the text."""
    inverse = f"Not{element}" in statement
    patterns = [str(each) for each in listed(statement.get(f"Not{element}" if inverse else element))]
    lower = element == "Action"
    return any(matches(each.lower() if lower else each, text) for each in patterns) is not inverse


def _principal_matches(statement: Statement, request: PolicyRequest) -> bool:
    inverse = "NotPrincipal" in statement
    return _names(statement.get("NotPrincipal" if inverse else "Principal"), request) is not inverse


def _names(principal: Any, request: PolicyRequest) -> bool:
    """Return True if a principal is the request's own, its account, or everybody."""
    if not isinstance(principal, Mapping):
        return bool(principal == "*")
    if request.principal.endswith(".amazonaws.com"):
        return request.principal in listed(principal.get("Service"))
    root = f":iam::{request.account}:root"
    return any(
        name in ("*", request.account, request.principal) or name.endswith(root)
        for name in listed(principal.get("AWS"))
    )


def _is_met(operator: str, key: str, values: list[Any], request: PolicyRequest) -> Answer:
    base = operator.removesuffix(IF_EXISTS)
    if key.lower() not in request.values:
        return None
    sent = request.values[key.lower()]
    if base == "Null":
        return (sent is None) is (str(values[0]).lower() == "true")
    if base == "NumericLessThan" and sent is not None:
        return None if float(values[0]) > float(sent) else False
    inverse = "Not" in base
    if sent is None:
        return inverse or operator.endswith(IF_EXISTS)
    compare = COMPARISONS.get(base.replace("Not", ""))
    if compare is None or any(VARIABLE in str(value) for value in values):
        return None
    return any(compare(str(value), sent) for value in values) is not inverse


COMPARISONS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, sent: value == sent,
    "StringEqualsIgnoreCase": lambda value, sent: value.lower() == sent.lower(),
    "StringLike": matches,
    "ArnEquals": matches,
    "ArnLike": matches,
    "Bool": lambda value, sent: value.lower() == sent.lower(),
}
