"""The interfaces of a target: one small class for each thing that commands work with. A Backend composes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.core.costs import CostCheck, Costs, no_cost_check
from mlops_cli.core.endpoint import Endpoint, GateReport, InvocationResponse
from mlops_cli.core.progress import Watch, no_watch

if TYPE_CHECKING:
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.engine import RunView
    from mlops_cli.core.models.evidence import Evidence
    from mlops_cli.core.models.model_versions import ModelVersion
    from mlops_cli.core.models.reproducibility import Reproduction
    from mlops_cli.core.plan import Plan
    from mlops_cli.core.progress import Report
    from mlops_cli.core.runs import Run, RunRequest
    from mlops_cli.data.metadata import DatasetInfo
    from mlops_cli.data.request import DataRequest
    from mlops_cli.monitoring.statistics import RequestStatistics


@dataclass(frozen=True)
class RollbackPlan:
    """The model to restore. ``run_id``: the last rollback to it, which a repeated command completes.

    ``is_done``: that rollback has finished. ``replaced``: the digest of the deployed model, of a new rollback.
    """

    target: ModelVersion
    run_id: str = ""
    shortfalls: tuple[str, ...] = ()
    is_done: bool = False
    replaced: str | None = None


class CostScope(str, Enum):
    """The subject of a cost estimate: the endpoint of an approval, the jobs of a reproduction, or a cleanup."""

    ENDPOINT = "endpoint"
    REPRODUCTION = "reproduction"
    CLEANUP = "cleanup"


class Infrastructure(ABC):
    """What the stages need on the target: created, priced and removed."""

    def account_label(self) -> str:
        """Return the account and caller of a remote target, shown before any change; empty for a local target."""
        return ""

    def undeployed_settings(self) -> list[str]:
        """Return, in words, the settings that differ from the target's last deployment."""
        return []

    def warnings(self) -> list[str]:
        """Return, in words, the dangers of the settings. They are shown before anything is deployed or paid."""
        return []

    def refusals(self) -> list[Finding]:
        """Return the failures that are certain to come with these settings. Such a deployment is not begun."""
        return []

    def unsent_inputs(self) -> list[str]:
        """Return, in words, files and packages that stages use on this machine but that the target would lack."""
        return []

    def costs(self, occasion: CostScope) -> Costs:  # noqa: ARG002 (the local target costs nothing)
        """Return the target's costs."""
        return Costs()

    @abstractmethod
    def require_secrets(self) -> None:
        """Raise ConfigurationError if a secret of scripts and gates is missing where they run."""

    @abstractmethod
    def is_ready_to_run(self) -> bool:
        """Return True if ``run`` needs no ``deploy-infra`` first."""

    @abstractmethod
    def plan(self, watch: Watch = no_watch) -> Plan:
        """Return the changes that ``deploy`` would make, and the existing resources. ``watch`` shows any waiting."""

    @abstractmethod
    def deploy(self, watch: Watch = no_watch) -> None:
        """Apply exactly the last plan; without one, make a new plan. Safe to repeat."""

    @abstractmethod
    def discard_plan(self) -> None:
        """Remove the temporary resources of a plan that was not applied."""

    @abstractmethod
    def plan_cleanup(self, keep_data: bool) -> Plan:
        """Return the resources that ``cleanup`` would stop and remove, and those that it keeps, with reasons."""

    @abstractmethod
    def cleanup(self, keep_data: bool, watch: Watch = no_watch) -> Plan:
        """Apply the plan, list all resources again, and return the remaining ones."""


class Data(ABC):
    """The dataset of the project."""

    @abstractmethod
    def download(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        """Download the dataset. The bool is True if it changed."""

    @abstractmethod
    def dataset(self) -> DatasetInfo | None: ...


class Runs(ABC):
    """The runs of the project: start, follow, stop."""

    @abstractmethod
    def start(self, request: RunRequest, view: RunView, consent: CostCheck = no_cost_check) -> tuple[Run, bool]:
        """Start a run, or continue the interrupted one. The bool is False if nothing has changed.

        ``consent`` is called with the run's costs before anything is started that costs money.
        """

    @abstractmethod
    def get(self, prefix: str = "") -> Run:
        """Return the run with this id prefix, or the newest. A run whose process died is shown as interrupted."""

    @abstractmethod
    def list_runs(self) -> list[Run]:
        """Return all runs, the newest first."""

    @abstractmethod
    def follow(self, run: Run, view: RunView) -> Run:
        """Show a run until it ends or waits for approval. Return its final state."""

    @abstractmethod
    def stop(self, run: Run) -> Run:
        """Stop a run and all its processes and jobs. Return its final state."""

    @abstractmethod
    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        """Yield the lines of a stage's log; with ``follow``, until the stage has ended."""

    @abstractmethod
    def own_files(self, run: Run, scratch: Path) -> Path | None:
        """Return a folder with the plots and files that the run's training has kept. It may be ``scratch``."""


class StageRunner(ABC):
    """One stage of a run: for `mlops stage`, and for each step of a pipeline."""

    @abstractmethod
    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        """Run or reuse one stage of a run, as the engine does. All earlier stages must have an output."""


class Approvals(ABC):
    """The evidence about a run's model, and the decision of a person."""

    @abstractmethod
    def evidence(self, run: Run) -> Evidence: ...

    @abstractmethod
    def report(self, run: Run) -> str:
        """Return the URL of the run's evidence as one HTML page."""

    @abstractmethod
    def check_waiting(self, run: Run) -> None:
        """Raise MlopsError with the reason, unless the run waits for a decision."""

    @abstractmethod
    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        """Record the decision about the run's model. Continue the run if the model is approved.

        Repeated, complete the same decision. Raise MlopsError if another decision was made, or if the approved model
        was replaced since.
        """


class Models(ABC):
    """The trained models, and the rollback to an earlier one."""

    @abstractmethod
    def list_versions(self) -> list[ModelVersion]:
        """Return the model versions, the newest first."""

    @abstractmethod
    def plan_rollback(self, version: str) -> RollbackPlan:
        """Return the target of a rollback: the named version, or the version that was deployed before."""

    @abstractmethod
    def rollback(self, version: str, comment: str, view: RunView, shown: str | None = None) -> Run:
        """Deploy an earlier approved model again, without training. Complete a rollback that was killed.

        ``shown``: the digest of the deployed model that the person saw. A new rollback replaces no other model.
        """


class Reproductions(ABC):
    """The inputs of a run, and its reproduction."""

    @abstractmethod
    def manifest(self, run: Run) -> dict[str, Any]:
        """Return everything that is needed to reproduce the run."""

    @abstractmethod
    def reproduce(self, run: Run, view: RunView) -> Reproduction:
        """Train the run's model again from the present files in a scratch folder, and compare. Record nothing."""


class ServedEndpoint(ABC):
    """The endpoint as its clients use it."""

    @abstractmethod
    def status(self) -> Endpoint: ...

    @abstractmethod
    def invoke(self, body: bytes, content_type: str) -> InvocationResponse: ...

    @property
    @abstractmethod
    def log_name(self) -> str:
        """The file or the log group of the endpoint's log."""

    @abstractmethod
    def failure(self, since: float) -> str:
        """Return the exception that the handlers have logged since a time; empty without one."""

    @abstractmethod
    def run_gate(self) -> GateReport:
        """Run the post-training gate against the live endpoint, outside of any run."""

    @abstractmethod
    def request_statistics(self, days: int) -> RequestStatistics:
        """Return the live model's request statistics. Raise MlopsError with the reason if there are none."""


class Backend(ABC):
    """A target. All methods of its parts raise MlopsError for problems that a user can solve.

    Each part is created on first use, so a command imports no other part.
    """

    target: str

    @property
    @abstractmethod
    def infra(self) -> Infrastructure: ...

    @property
    @abstractmethod
    def data(self) -> Data: ...

    @property
    @abstractmethod
    def runs(self) -> Runs: ...

    @property
    @abstractmethod
    def stages(self) -> StageRunner: ...

    @property
    @abstractmethod
    def approvals(self) -> Approvals: ...

    @property
    @abstractmethod
    def models(self) -> Models: ...

    @property
    @abstractmethod
    def reproductions(self) -> Reproductions: ...

    @property
    @abstractmethod
    def endpoint(self) -> ServedEndpoint: ...

    @abstractmethod
    def run_checks(self) -> Iterator[Finding]:
        """Yield problems, risks and idle billed resources. Change nothing."""
