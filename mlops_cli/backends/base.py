"""What a target must be able to do, as verbs of user intent. There is one Backend per target."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from mlops_cli.core.costs import CostCheck, Costs, no_cost_check
from mlops_cli.core.endpoint import Endpoint, GateReport, InvocationResponse
from mlops_cli.core.progress import Watch, no_watch

if TYPE_CHECKING:
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.engine import RunView
    from mlops_cli.core.evidence import Evidence
    from mlops_cli.core.model_versions import ModelVersion
    from mlops_cli.core.plan import Plan
    from mlops_cli.core.progress import Report
    from mlops_cli.core.reproducibility import Reproduction
    from mlops_cli.core.runs import Run, RunRequest
    from mlops_cli.data.metadata import DatasetInfo
    from mlops_cli.data.request import DataRequest
    from mlops_cli.monitoring.statistics import RequestStatistics


@dataclass(frozen=True)
class RollbackPlan:
    """The model to go back to; ``run_id`` is the rollback to it that is on record already, to be finished."""

    target: ModelVersion
    run_id: str = ""
    shortfalls: tuple[str, ...] = ()


class CostScope(str, Enum):
    """What costs are asked about: the endpoint of an approval, a run's jobs made again, or what a cleanup ends."""

    ENDPOINT = "endpoint"
    REPRODUCTION = "reproduction"
    CLEANUP = "cleanup"


class Backend(ABC):
    """Everything the commands need of a target. All methods raise MlopsError for what a user can mend."""

    target: str

    def costs(self, occasion: CostScope) -> Costs:  # noqa: ARG002 (on one's own machine nothing costs)
        """What this target asks for."""
        return Costs()

    def account_label(self) -> str:
        """Where changes are made and in whose name, when that is not this folder: shown before any change."""
        return ""

    def undeployed_settings(self) -> list[str]:
        """Return, in words, which settings differ from those that the target was last deployed with."""
        return []

    @abstractmethod
    def plan_infra(self, watch: Watch = no_watch) -> Plan:
        """What ``provision`` would make, and what is there already; ``watch`` sees what must be waited for first."""

    @abstractmethod
    def deploy_infra(self, watch: Watch = no_watch) -> None:
        """Carry out exactly the plan that was made last, or a new one if there is none; safe to repeat."""

    @abstractmethod
    def discard_plan(self) -> None:
        """Remove what making a plan has left behind; called when it was not carried out."""

    @abstractmethod
    def is_provisioned(self) -> bool: ...

    @abstractmethod
    def download_data(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        """Get the dataset into place; the bool says whether anything changed."""

    @abstractmethod
    def dataset(self) -> DatasetInfo | None: ...

    @abstractmethod
    def start_run(self, request: RunRequest, view: RunView, consent: CostCheck = no_cost_check) -> tuple[Run, bool]:
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
    def check_waiting(self, run: Run) -> None:
        """Raises MlopsError, saying why, when nobody can decide about this run now."""

    @abstractmethod
    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
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
    def invoke(self, body: bytes, content_type: str) -> InvocationResponse: ...

    @abstractmethod
    def run_gate(self) -> GateReport:
        """The post-training gate against the live endpoint, outside of any run."""

    @abstractmethod
    def request_statistics(self, days: int) -> RequestStatistics:
        """What was measured of the live model's requests; raises MlopsError, saying why, when nothing can be."""

    @abstractmethod
    def run_checks(self) -> Iterator[Finding]:
        """What would keep the commands from working, might, or costs for nothing; changes nothing."""

    @abstractmethod
    def plan_cleanup(self, keep_data: bool) -> Plan:
        """What ``teardown`` would stop and remove, and what stays and why."""

    @abstractmethod
    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:
        """Carry the plan out, look again, and give what is left of it."""
