"""The endpoint's state, the same for every target."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class EndpointState(str, Enum):
    """ABSENT: never deployed, or removed. FAILED: deployed, but not running."""

    ABSENT = "absent"
    UPDATING = "updating"
    IN_SERVICE = "in-service"
    FAILED = "failed"


@dataclass(frozen=True)
class Endpoint:
    """The endpoint. ``live_digest``: the model by the endpoint itself; ``deployed_digest``: by the run store.

    ``approved_digest`` equals ``deployed_digest`` if that model may be live; otherwise ``objection`` is the reason why
    it may not. ``changed_files``: files of the model package that were changed on disk while it is served.
    ``incidents``: the last restarts of the server's worker. ``hosts``: the host names in ENDPOINT_HOSTS.
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
    changed_files: tuple[str, ...] = ()
    incidents: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @property
    def is_approved(self) -> bool:
        return bool(self.live_digest) and self.live_digest == self.approved_digest and not self.changed_files

    @property
    def served(self) -> str:
        """The live model, and the reason if it should not be live."""
        model = self.live_digest[:12]
        if self.is_approved:
            return f"the approved model {model}"
        if not self.deployed_digest:
            return f"{model}, but nothing is approved"
        if self.live_digest != self.deployed_digest:
            expected = self.deployed_digest[:12]
            contrast = f"but {expected} is approved" if self.approved_digest else "which nobody approved"
            return f"{model or 'no model of this project'}, {contrast}"
        if self.objection:
            return f"{model}, which {self.objection}"
        return f"{model}, whose files were changed on disk: {', '.join(self.changed_files)}"

    @property
    def fix_command(self) -> str:
        """The command that makes the approved model live."""
        return "mlops rollback" if self.objection else "mlops run --from deploy"


@dataclass(frozen=True)
class InvocationResponse:
    """The response to one request. ``seconds``: until the last byte."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class GateReport:
    """The outcome of a gate. ``unfinished``: the reason why its tests have no result; then the counts are 0."""

    passed: int
    failed: int
    failures: list[str] = field(default_factory=list)
    unfinished: str = ""

    @property
    def has_passed(self) -> bool:
        return not self.failed and not self.unfinished

    @property
    def outcome(self) -> str:
        if self.unfinished:
            return f"it could not finish, so its tests have no result: {self.unfinished}"
        return f"{self.passed} passed, {self.failed} failed"
