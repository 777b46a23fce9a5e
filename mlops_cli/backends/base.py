"""What a target must be able to do, as verbs of user intent. There is one Backend per target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from mlops_cli.costs import Consent, Costs, freely
from mlops_cli.progress import Watch, unwatched

if TYPE_CHECKING:
    from mlops_cli.data.manifest import Dataset
    from mlops_cli.data.request import Request
    from mlops_cli.doctor import Finding
    from mlops_cli.evidence import Evidence
    from mlops_cli.lifecycle import RunView
    from mlops_cli.observations import Observed
    from mlops_cli.plans import Plan
    from mlops_cli.progress import Report
    from mlops_cli.provenance import Reproduction
    from mlops_cli.registry import ModelVersion
    from mlops_cli.runs import Run, RunRequest


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
class RollbackPlan:
    """The model to go back to; ``run_id`` is the rollback to it that is on record already, to be finished."""

    target: ModelVersion
    run_id: str = ""
    shortfalls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Of one request to the endpoint; ``seconds`` from sending to the last byte."""

    status: int
    body: bytes
    seconds: float


@dataclass(frozen=True)
class GateReport:
    passed: int
    failed: int
    failures: list[str] = field(default_factory=list)


class Occasion(str, Enum):
    """What costs are asked about: the endpoint of an approval, a run's jobs made again, or what a cleanup ends."""

    ENDPOINT = "endpoint"
    REPRODUCTION = "reproduction"
    CLEANUP = "cleanup"


class Backend(ABC):
    """Everything the commands need of a target. All methods raise MlopsError for what a user can mend."""

    target: str

    def costs(self, occasion: Occasion) -> Costs:  # noqa: ARG002 (on one's own machine nothing costs)
        """What this target asks for."""
        return Costs()

    def place(self) -> str:
        """Where changes are made and in whose name, when that is not this folder: shown before any change."""
        return ""

    def undeployed_settings(self) -> list[str]:
        """Return, in words, which settings differ from those that the target was last deployed with."""
        return []

    @abstractmethod
    def plan_provision(self, watch: Watch = unwatched) -> Plan:
        """What ``provision`` would make, and what is there already; ``watch`` sees what must be waited for first."""

    @abstractmethod
    def provision(self, watch: Watch = unwatched) -> None:
        """Carry out exactly the plan that was made last, or a new one if there is none; safe to repeat."""

    @abstractmethod
    def forget_plan(self) -> None:
        """Remove what making a plan has left behind; called when it was not carried out."""

    @abstractmethod
    def is_provisioned(self) -> bool: ...

    @abstractmethod
    def put_data(self, request: Request, report: Report) -> tuple[Dataset, bool]:
        """Get the dataset into place; the bool says whether anything changed."""

    @abstractmethod
    def dataset(self) -> Dataset | None: ...

    @abstractmethod
    def start_run(self, request: RunRequest, view: RunView, consent: Consent = freely) -> tuple[Run, bool]:
        """Start a run, or continue the one that died; the bool is False when nothing had changed.

        ``consent`` is called with what the run costs, before anything is started that does.
        """

    @abstractmethod
    def get_run(self, prefix: str = "") -> Run:
        """The run whose id starts with ``prefix``, or the newest; one that died is shown as interrupted."""

    @abstractmethod
    def list_runs(self) -> list[Run]:
        """The newest first."""

    @abstractmethod
    def follow(self, run: Run, view: RunView) -> Run:
        """Show a run that goes on by itself until it ends or waits for a person; gives it as it stands then."""

    @abstractmethod
    def stop(self, run: Run) -> Run:
        """End a run that goes on and all that works for it; gives it as it stands then."""

    @abstractmethod
    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        """Bring one stage of a run to its output as the engine does; what comes before it must have its own."""

    @abstractmethod
    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        """The lines of a stage's log; with ``follow``, until the stage has ended."""

    @abstractmethod
    def evidence(self, run: Run) -> Evidence: ...

    @abstractmethod
    def report(self, run: Run) -> str:
        """The run's evidence as one HTML page: an address that a browser can open."""

    @abstractmethod
    def check_decidable(self, run: Run) -> None:
        """Raises MlopsError, saying why, when nobody can decide about this run now."""

    @abstractmethod
    def decide(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        """Record who said what about the run's model, then go on with an approved one."""

    @abstractmethod
    def models(self) -> list[ModelVersion]:
        """The registry, the newest version first."""

    @abstractmethod
    def plan_rollback(self, version: str) -> RollbackPlan:
        """Where a rollback leads: to the version named, or to the one that was deployed before."""

    @abstractmethod
    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        """Deploy an earlier approved model again, without training; a rollback that was killed is finished."""

    @abstractmethod
    def manifest(self, run: Run) -> dict[str, Any]:
        """All that is needed to make the run again."""

    @abstractmethod
    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        """Make the run's model again from what is here now, beside all else, and compare; recorded nowhere."""

    @abstractmethod
    def endpoint(self) -> Endpoint: ...

    @abstractmethod
    def invoke(self, body: bytes, content_type: str) -> Answer: ...

    @abstractmethod
    def run_gate(self) -> GateReport:
        """The post-training gate against the live endpoint, outside of any run."""

    @abstractmethod
    def observed(self, days: int) -> Observed:
        """What was measured of the live model's requests; raises MlopsError, saying why, when nothing can be."""

    @abstractmethod
    def examine(self) -> Iterator[Finding]:
        """What would keep the commands from working, might, or costs for nothing; changes nothing."""

    @abstractmethod
    def plan_teardown(self, keep_data: bool) -> Plan:
        """What ``teardown`` would stop and remove, and what stays and why."""

    @abstractmethod
    def teardown(self, keep_data: bool, watch: Watch = unwatched) -> Plan:
        """Carry the plan out, look again, and give what is left of it."""
