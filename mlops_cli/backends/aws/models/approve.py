"""Send a person's decision about a run to the model registry and to the pipeline."""

from __future__ import annotations

from mlops_cli.backends.aws.clients.model_registry import DELETED, ModelRegistry, deleted_error
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.accepted_limits_store import AcceptedLimitsStore
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, summary_of
from mlops_cli.backends.aws.runs.queries import RunQueries, queued_error
from mlops_cli.backends.aws.runs.status import DECISION
from mlops_cli.core.runs import Run, Status, not_waiting_error, superseded_error
from mlops_cli.core.stages import APPROVAL
from mlops_cli.errors import MlopsError


class ApprovalSender:
    def __init__(self, runs: RunQueries, registry: ModelRegistry, accepted_limits: AcceptedLimitsStore) -> None:
        self._runs = runs
        self._registry = registry
        self._accepted_limits = accepted_limits

    def check(self, run: Run) -> None:
        """Raise MlopsError with the reason and the next command, unless the run waits for a decision."""
        if run.status is Status.WAITING:
            package = run.approval.detail.get("package", "")
            if package and self._registry.status(package) == DELETED:
                raise deleted_error(package)
            return
        if run.status is Status.SUPERSEDED:
            newer = next(execution.id for execution in self._runs.pipeline.executions())
            raise superseded_error(run, newer)
        at = run.current
        if at is not None and at.name == APPROVAL.name and at.reason.startswith("queued"):
            raise queued_error(run, at.reason.rpartition(" ")[2])
        if at is not None and at.name == APPROVAL.name and at.status is Status.FAILED:
            raise MlopsError(
                f"Run {run.id} no longer waits for a decision: {at.reason}.", "Ask for a new decision: mlops run"
            )
        raise not_waiting_error(run)

    def send(self, shown_run: Run, approved: bool, comment: str, accepted: AcceptedLimits) -> None:
        """Send the decision to the registry, then to the pipeline. After an interruption, repeat the command.

        The decision is about the model and the limits that the person saw in ``shown_run``. Raise MlopsError if another
        decision came first.
        """
        run_id, model = shown_run.id, shown_run.approval.output
        run = self._runs.refresh(run_id)
        self.check(run)
        gate = run.approval
        if gate.output != model:
            raise MlopsError(f"Run {run_id} asks about another model now.", f"Show it again: mlops approve {run_id}")
        package = gate.detail["package"]
        details = DecisionDetails(model=model, accepted=self._accepted_limits.save(accepted))
        if approved:
            self._runs.clear_endpoint_stack()
        self._registry.decide(package, approved, comment)
        token = self._runs.pipeline.awaited_token(run_id, APPROVAL.name, DECISION)
        is_taken = bool(token) and self._runs.pipeline.decide(
            APPROVAL.name, DECISION, approved, summary_of(comment, details), token
        )
        self._runs.wait_for_status_change(run_id, Status.WAITING)
        if not is_taken:
            self._handle_conflict(self._runs.refresh(run_id), package)

    def _handle_conflict(self, run: Run, package: str) -> None:
        """Apply the earlier, different decision to the package, too."""
        if run.decision:
            self._registry.decide(package, run.decision.approved, run.decision.by)
        self.check(run)
        raise MlopsError("AWS did not accept the decision.", f"Try again: mlops approve {run.id}")
