"""The valid approvals of a model, and the shortfalls that they accept. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile

from mlops_cli.core.models.decision import Decision

# A key in the detail of the approval stage: the shortfalls at the time of the request.
SHORTFALLS = "shortfalls"
# Unicode counts these characters as letters, but they are invisible.
BLANK_LETTERS = "\u115f\u1160\u3164\uffa0"


def latest_decision(decisions: Iterable[Decision], digest: str) -> Decision | None:
    """Return the last decision about a model, in any run. ``decisions``: the newest first."""
    return next((decision for decision in decisions if decision.model_digest == digest), None)


def approvals_since_rejection(decisions: Iterable[Decision], digest: str) -> list[Decision]:
    """Return the approvals of a model since its last rejection, the newest first."""
    about = (decision for decision in decisions if decision.model_digest == digest)
    return list(takewhile(lambda decision: decision.approved, about))


def accepts(decision: Decision, shortfalls: Sequence[str]) -> bool:
    """True if the approval accepts each of the shortfalls with a reason."""
    return not shortfalls or (has_reason(decision.comment) and set(shortfalls) <= set(decision.shortfalls))


def has_reason(comment: str) -> bool:
    return any(character.isalnum() and character not in BLANK_LETTERS for character in comment)


def limits_of(cache_inputs: Mapping[str, str]) -> dict[str, str]:
    """Return the limits and demands among the cache inputs of an approval request, by name."""
    return {name: value for name, value in cache_inputs.items() if not name.startswith("the output of ")}
