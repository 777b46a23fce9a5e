"""The endpoint as every target reports it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class EndpointState(str, Enum):
    """ABSENT: never deployed or removed. FAILED: it should run and does not."""

    ABSENT = "absent"
    UPDATING = "updating"
    IN_SERVICE = "in-service"
    FAILED = "failed"


@dataclass(frozen=True)
class Endpoint:
    """``live_digest`` is what the endpoint itself says it serves, ``deployed_digest`` what it has to, by the record.

    ``approved_digest`` is the same if this model should be live; if it should not, ``objection`` says why.
    """

    name: str
    state: EndpointState
    url: str = ""
    live_digest: str = ""
    approved_digest: str = ""
    since: str = ""
    reason: str = ""
    deployed_digest: str = ""
    objection: str = ""

    @property
    def is_approved(self) -> bool:
        """What is live is what was approved."""
        return bool(self.live_digest) and self.live_digest == self.approved_digest

    @property
    def served(self) -> str:
        """What it serves, and what is wrong with that."""
        model = self.live_digest[:12]
        if self.is_approved:
            return f"the approved model {model}"
        if not self.deployed_digest:
            return f"{model}, but nothing is approved"
        if self.live_digest != self.deployed_digest:
            wanted = f"but approved is {self.deployed_digest[:12]}" if self.approved_digest else "which nobody approved"
            return f"{model or 'no model of this project'}, {wanted}"
        return f"{model}, which {self.objection}"

    @property
    def mend(self) -> str:
        """The command after which what is live is what was approved."""
        return "mlops rollback" if self.objection else "mlops run --from deploy"


@dataclass(frozen=True)
class InvocationResponse:
    """Of one request to the endpoint; ``seconds`` from sending to the last byte."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class GateReport:
    passed: int
    failed: int
    failures: list[str] = field(default_factory=list)
