"""A decision about a model, as data: its actor, kind, accepted shortfalls and limits."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from mlops_cli.plain_text import one_line


class DecisionKind(str, Enum):
    """A person's approval, rejection or rollback, or an automatic rollback."""

    APPROVAL = "approval"
    ROLLBACK = "rollback"
    AUTOMATIC_ROLLBACK = "automatic rollback"


@dataclass(frozen=True)
class Actor:
    """The identity of the person or program that decides; the fields are proved in different ways.

    ``system_user``: the user of the process. ``claimed_name``: another name, from an environment variable, unverified.
    ``arn``: authenticated by AWS. ``automatic``: mlops itself, without a person.
    """

    system_user: str = ""
    claimed_name: str = ""
    arn: str = ""
    automatic: bool = False

    @property
    def name(self) -> str:
        """The name to show. Only verified parts stand outside of the brackets."""
        if self.automatic:
            return "mlops"
        if self.arn:
            return arn_name(self.arn)
        user = self.system_user or "unknown"
        return f"{user} (claimed name: {self.claimed_name})" if self.claimed_name else user


AUTOMATIC = Actor(automatic=True)


def arn_name(arn: str) -> str:
    """Return the name in the ARN of a user or of a role's session."""
    return re.split("[:/]", arn)[-1] or "unknown"


def person(*claims: str) -> Actor:
    """Return the user of this process. The claimed name is the first one that differs from the system's."""
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
    """A decision about the model of one run, identified by its digest.

    ``rollback_to`` and ``rolled_back_from``: the models of a rollback. ``forwarded_from``: the run with the original
    approval. An approval accepts the ``shortfalls``, measured by ``limits``: minimum values, maximum values and
    demands, by name.
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
        """The occasion as text; "" for a plain approval."""
        ways = [f"from {self.rolled_back_from.version}"] if self.rolled_back_from else []
        ways += [f"to {self.rollback_to.version}"] if self.rollback_to else []
        words = [] if self.kind is DecisionKind.APPROVAL else [" ".join([self.kind.value, *ways])]
        return ", ".join(words + ([f"as in run {self.forwarded_from}"] if self.forwarded_from else []))

    @property
    def by(self) -> str:
        """The actor, the occasion and the comment."""
        return self.describe("")

    def describe(self, moment: str) -> str:
        """Return the actor, the occasion, the comment, and the formatted time ``moment``."""
        occasion = f" ({self.occasion})" if self.occasion else ""
        when = f", {moment}" if moment else ""
        return f"by {self.actor.name}{occasion}{when}" + (f": {one_line(self.comment)}" if self.comment else "")

    @property
    def is_rollback(self) -> bool:
        return self.kind is not DecisionKind.APPROVAL

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document, including the actor's name to show."""
        actor = {**asdict(self.actor), "name": self.actor.name}
        return {**asdict(self), "actor": actor, "kind": self.kind.value, "shortfalls": list(self.shortfalls)}


def decision_from(values: Mapping[str, Any]) -> Decision:
    """Return the Decision of a ``to_dict`` or ``dataclasses.asdict`` document."""
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
