"""The templates' policies as documents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.templates.template import VARIANTS, Resolved, variant

Document = dict[str, Any]


@dataclass(frozen=True)
class Policy:
    variant: str
    role: str
    document: Document

    @property
    def statements(self) -> list[Document]:
        return self.document["Statement"]

    def __str__(self) -> str:
        return f"{self.variant}:{self.role}"


def policies(resolved: Resolved, name: str = "") -> Iterator[Policy]:
    """Return the permissions of each role, in its own policies and in shared ones."""
    roles = resolved.of_type("AWS::IAM::Role")
    for role, properties in roles.items():
        for policy in properties["Policies"]:
            yield Policy(name, role, policy["PolicyDocument"])
    for properties in resolved.of_type("AWS::IAM::Policy").values():
        for role in roles:
            if f"a-{role.lower()}" in properties["Roles"]:
                yield Policy(name, role, properties["PolicyDocument"])


def trusts(resolved: Resolved, name: str = "") -> Iterator[Policy]:
    """Return the principals that may assume each role."""
    for role, properties in resolved.of_type("AWS::IAM::Role").items():
        yield Policy(name, role, properties["AssumeRolePolicyDocument"])


def all_policies() -> list[Policy]:
    """Return the documents of all variants, each once."""
    result = {}
    for name in VARIANTS:
        for policy in policies(variant(name), name):
            result.setdefault(repr((policy.role, policy.document)), policy)
    return list(result.values())


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def conditions(statement: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition keys of a statement and their values."""
    return {key: value for operator in statement.get("Condition", {}).values() for key, value in operator.items()}
