"""The details of a decision, in the summary that CodePipeline stores with an approval.

The comment comes first, for readers in the AWS console. The details follow as one line of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.core.models.decision import Decision, DecisionKind, NamedModel
from mlops_cli.files.json_text import parse_json

SUMMARY_LENGTH = 512


@dataclass(frozen=True)
class DecisionDetails:
    """The fields of a Decision that are stored nowhere but in its summary.

    ``model``: the digest of the decided model. CodePipeline keeps it unchanged, and only the approver can send it.
    ``accepted``: the digest of the document with the limits and the accepted shortfalls.
    """

    kind: DecisionKind = DecisionKind.APPROVAL
    rollback_to: NamedModel | None = None
    rolled_back_from: NamedModel | None = None
    forwarded_from: str = ""
    model: str = ""
    accepted: str = ""

    @property
    def model_digest(self) -> str:
        """Return the model that the decision names, or ""; a rollback names the model that it deploys."""
        return self.rollback_to.digest if self.rollback_to else self.model


def summary_of(comment: str, details: DecisionDetails) -> str:
    """Return the summary. The comment is cut if the summary is too long for CodePipeline."""
    values = {name: value for name, value in asdict(details).items() if value}
    line = json.dumps(values, separators=(",", ":"))
    return f"{comment[: SUMMARY_LENGTH - len(line) - 1]}\n{line}"


def read_summary(summary: str) -> tuple[str, DecisionDetails]:
    """Return the comment and the details. An approval in the AWS console has no details."""
    comment, _, line = summary.rpartition("\n")
    try:
        values = parse_json(line)
        return (comment, _details(values)) if isinstance(values, dict) else (summary, DecisionDetails())
    except (ValueError, TypeError, KeyError):
        return summary, DecisionDetails()


def _details(values: Mapping[str, Any]) -> DecisionDetails:
    to, away_from = (
        NamedModel(**values[name]) if name in values else None for name in ("rollback_to", "rolled_back_from")
    )
    texts = {name: str(values.get(name, "")) for name in ("forwarded_from", "model", "accepted")}
    return DecisionDetails(DecisionKind(values["kind"]), to, away_from, **texts)


def rejection_comment(kind: DecisionKind, version: str, why: str) -> str:
    """Return the comment for the rejection of the model that a rollback to ``version`` replaces."""
    return f"{kind.value} to {version}: {why}".rstrip(": ")


def forwarded(decision: Decision) -> tuple[str, DecisionDetails]:
    """Return a forwarded approval with the comment and the run of the original approval."""
    origin = decision.forwarded_from or decision.run_id
    accepted = AcceptedLimits(decision.limits, decision.shortfalls).digest
    return decision.comment, DecisionDetails(forwarded_from=origin, model=decision.model_digest, accepted=accepted)
