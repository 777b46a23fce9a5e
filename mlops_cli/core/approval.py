"""Whether a model is approved now: the decisions about it that hold, and under which shortfalls. No IO."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from mlops_cli.core.decision import Decision


def standing_decision(decisions: Iterable[Decision], digest: str) -> Decision | None:
    """The last decision about a model, in whichever run; ``decisions`` come the newest first."""
    return next((decision for decision in decisions if decision.model_digest == digest), None)


def standing_approvals(decisions: Iterable[Decision], digest: str) -> list[Decision]:
    """The approvals of a model since it was rejected for the last time, the newest first."""
    about = (decision for decision in decisions if decision.model_digest == digest)
    return list(takewhile(lambda decision: decision.approved, about))


def accepts(decision: Decision, shortfalls: Sequence[str]) -> bool:
    """Whether an approval still holds for a model that falls short so: each shortfall was accepted, with a reason."""
    return not shortfalls or (has_reason(decision.comment) and set(shortfalls) <= set(decision.shortfalls))


def has_reason(comment: str) -> bool:
    """Whether a comment says anything."""
    return any(character.isalnum() for character in comment)
