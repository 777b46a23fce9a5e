"""The results of a rehearsal on a simulated AWS, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from mlops_cli.core.checks import Finding, State
from mlops_cli.core.costs import Costs


@dataclass(frozen=True)
class AccessDecision:
    """A decision of IAM. ``principal``: the name of a role, or of the user."""

    principal: str
    action: str
    resource: str
    allowed: bool
    times: int = 1


@dataclass(frozen=True)
class Grant:
    """An action that the policies of a role allow."""

    role: str
    action: str


@dataclass(frozen=True)
class UsedResource:
    """A resource of a stack; ``stack`` is empty for a job."""

    stack: str
    name: str
    type: str


@dataclass(frozen=True)
class Step:
    """One command of the rehearsal. ``problem``: empty if it succeeded."""

    command: str
    seconds: float
    problem: str = ""


@dataclass
class Rehearsal:
    """The results so far. ``not_shown``: what the rehearsal cannot show about the real AWS."""

    steps: list[Step] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    resources: list[UsedResource] = field(default_factory=list)
    decisions: list[AccessDecision] = field(default_factory=list)
    unused: list[Grant] = field(default_factory=list)
    run_costs: Costs = field(default_factory=Costs)
    not_shown: list[str] = field(default_factory=list)

    @property
    def has_failed(self) -> bool:
        return any(finding.state is State.FAILURE for finding in self.findings)

    @property
    def refused(self) -> list[AccessDecision]:
        return [decision for decision in self.decisions if not decision.allowed]

    @property
    def used(self) -> list[AccessDecision]:
        return [decision for decision in self.decisions if decision.allowed]

    def actions(self, principal: str) -> list[str]:
        """Return the actions that a role or the user has used successfully."""
        return sorted({decision.action for decision in self.used if decision.principal == principal})

    def has_needed(self, grant: Grant) -> bool:
        """Return True if the role has used the action, even after the list of unused actions was made."""
        return any(fnmatchcase(action, grant.action) for action in self.actions(grant.role))

    @property
    def names(self) -> list[str]:
        """Return the roles and the user that have sent a request."""
        return sorted({decision.principal for decision in self.decisions})

    def to_dict(self) -> dict[str, Any]:
        return {
            "steps": _dicts(self.steps),
            "resources": _dicts(self.resources),
            "permissions": {
                "used": _dicts(self.used),
                "refused": _dicts(self.refused),
                "never_needed": _dicts(self.unused),
            },
            "not_shown": self.not_shown,
        }


def _dicts(values: Iterable[Any]) -> list[dict[str, Any]]:
    return [asdict(value) for value in values]


def short_role(name: str) -> str:
    """Return a role's name in its template, without the stack's name and the code that CloudFormation adds."""
    parts = name.rsplit("-", 2)
    return parts[1] if len(parts) == 3 else name
