"""A decision about a model as facts: who took it, what it was, which shortfalls it accepts, under which limits."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any


class DecisionKind(str, Enum):
    """An approval (or its refusal) by a person, a rollback by a person, or one that mlops began by itself."""

    APPROVAL = "approval"
    ROLLBACK = "rollback"
    AUTOMATIC_ROLLBACK = "automatic rollback"


@dataclass(frozen=True)
class Actor:
    """What is known of the one who decided, each fact as what it is.

    ``system_user`` is whom the process runs as, ``claimed_name`` another name that its environment gives, ``arn``
    whom AWS has authenticated. ``automatic`` is mlops itself, with nobody asked.
    """

    system_user: str = ""
    claimed_name: str = ""
    arn: str = ""
    automatic: bool = False

    @property
    def name(self) -> str:
        """As it is shown: only what was verified stands outside of the brackets."""
        if self.automatic:
            return "mlops"
        if self.arn:
            return arn_name(self.arn)
        user = self.system_user or "unknown"
        return f"{user} (claimed name: {self.claimed_name})" if self.claimed_name else user


AUTOMATIC = Actor(automatic=True)


def arn_name(arn: str) -> str:
    """The name in the ARN of a user, or of a role's session."""
    return re.split("[:/]", arn)[-1] or "unknown"


def person(*claims: str) -> Actor:
    """Whoever runs this process on this machine; the first of the names that is another one is what they claim."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid {os.getuid()}"
    names = ("".join(character for character in claim if character.isprintable()) for claim in claims)
    return Actor(user, next((name for name in names if name not in ("", user)), ""))


@dataclass(frozen=True)
class NamedModel:
    """A model by the name of its version, and its digest."""

    version: str
    digest: str


@dataclass(frozen=True)
class Decision:
    """What was decided about the model of one run, and about which model exactly.

    ``rollback_to`` and ``rolled_back_from`` are a rollback's models. ``forwarded_from`` is the run whose approval was
    passed on to this one. ``shortfalls`` were there to be seen, and are accepted by an approval; ``limits`` are the
    floors, ceilings and demands (by name) that they were measured by.
    """

    run_id: str
    approved: bool
    actor: Actor
    comment: str
    at: float
    key: str
    model_digest: str
    kind: DecisionKind = DecisionKind.APPROVAL
    rollback_to: NamedModel | None = None
    rolled_back_from: NamedModel | None = None
    forwarded_from: str = ""
    shortfalls: tuple[str, ...] = ()
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def verb(self) -> str:
        return "approved" if self.approved else "rejected"

    @property
    def occasion(self) -> str:
        """What it was taken for, in words; nothing for a plain approval."""
        ways = [f"from {self.rolled_back_from.version}"] if self.rolled_back_from else []
        ways += [f"to {self.rollback_to.version}"] if self.rollback_to else []
        words = [] if self.kind is DecisionKind.APPROVAL else [" ".join([self.kind.value, *ways])]
        return ", ".join(words + ([f"as in run {self.forwarded_from}"] if self.forwarded_from else []))

    @property
    def by(self) -> str:
        """Who decided, on which occasion, and why."""
        return self.describe("")

    def describe(self, moment: str) -> str:
        """The same with the moment, as whoever shows it writes one."""
        occasion = f" ({self.occasion})" if self.occasion else ""
        when = f", {moment}" if moment else ""
        return f"by {self.actor.name}{occasion}{when}" + (f": {self.comment}" if self.comment else "")

    @property
    def is_rollback(self) -> bool:
        return self.kind is not DecisionKind.APPROVAL

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, with the actor's name as it is shown."""
        actor = {**asdict(self.actor), "name": self.actor.name}
        return {**asdict(self), "actor": actor, "kind": self.kind.value, "shortfalls": list(self.shortfalls)}


def decision_from(values: Mapping[str, Any]) -> Decision:
    """A Decision from what ``to_dict`` (or ``dataclasses.asdict``) made of it."""
    actor = {name: value for name, value in values["actor"].items() if name != "name"}
    models = {name: NamedModel(**values[name]) for name in ("rollback_to", "rolled_back_from") if values[name]}
    return Decision(
        **{
            **values,
            **models,
            "actor": Actor(**actor),
            "kind": DecisionKind(values["kind"]),
            "shortfalls": tuple(values["shortfalls"]),
        }
    )
