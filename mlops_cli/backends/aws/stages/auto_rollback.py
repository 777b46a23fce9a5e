"""Automatic rollback in the pipeline: the previous model replaces one that fails its gate on the endpoint.

The gate's step reports the test result. The next step runs no code of the repository: it chooses the model to be live.
The next action deploys that model, as in the deploy stage, and the last action fails the stage. So no command needs to
follow the run. No new approval is needed, because the previous model was approved before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.clients.model_registry import ModelRegistry, kept_key
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, rejection_comment
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.core.models.decision import DecisionKind
from mlops_cli.core.models.model_versions import (
    ROLLED_BACK_TO,
    ModelVersion,
    approved_run,
    needs_rollback,
    previously_live,
    versions_of,
)
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.core.stages import ENDPOINT_GATE
from mlops_cli.errors import MlopsError

ROLLING_BACK = "\nRolling back to the approved "


@dataclass(frozen=True)
class RollbackModel:
    """The model to restore, and its approved model package."""

    name: str
    digest: str
    package: str


class AutoRollback:
    def __init__(
        self, run_store: S3RunStore, approvals: ApprovalHistory, registry: ModelRegistry, bucket: Bucket
    ) -> None:
        self._run_store = run_store
        self._approvals = approvals
        self._registry = registry
        self._bucket = bucket

    def select_model(self, run: Run) -> RollbackModel | None:
        """Select the previous model and record it as live from now on. Return None if there is none.

        If the step is killed and repeated, it selects the same model: the run's record names it and is written first.
        """
        if not needs_rollback(replace(run, decision=self._approvals.for_run(run))):
            return None
        target = self._previous_model(run)
        if target is None:
            return None
        gate = run.endpoint_gate
        reason = gate.reason.partition(ROLLING_BACK)[0]
        gate.reason = f"{reason}{ROLLING_BACK}{target.name} ({target.digest[:12]})."
        gate.finished_at = time.time()  # the restored model's deployment comes after the failing one's
        gate.detail = {**gate.detail, ROLLED_BACK_TO: {"version": target.name, "digest": target.digest}}
        self._run_store.save(run)
        failing = run.deployment
        self._reject(
            failing.output,
            rejection_comment(
                DecisionKind.AUTOMATIC_ROLLBACK, target.name, f"the gate {ENDPOINT_GATE.name} failed in run {run.id}"
            ),
        )
        self._run_store.save_stage(replace(failing, status=Status.REUSED, output=target.digest))
        return target

    def _previous_model(self, run: Run) -> RollbackModel | None:
        """Return the approved model that was live before this run, if all files for its deployment exist."""
        runs = list(self._run_store.runs())
        digests = {run_record.training.output for run_record in runs} - {""}
        decisions = [decision for digest in digests for decision, _ in self._approvals.for_model(digest)]
        models = versions_of(runs, sorted(decisions, key=lambda decision: decision.at, reverse=True))
        targets = (self._rollback_model(model, runs) for model in previously_live(models, run.deployment.output))
        return next((target for target in targets if target), None)

    def _rollback_model(self, model: ModelVersion, runs: Sequence[Run]) -> RollbackModel | None:
        """Return the model, if it is approved and its file is the approved one."""
        try:
            gate = approved_run(runs, model.digest).approval
        except MlopsError:  # its records were deleted
            return None
        approval = self._approvals.approval(model.digest, gate.key)
        kept = self._bucket.metadata(kept_key(model.digest))
        if approval is None or kept is None or kept.checksum != model.digest:
            return None
        numbers = [_number(request) for request in self._run_store.approval_requests(model.digest)]
        return RollbackModel(f"v{min(numbers)}", model.digest, approval.detail["package"])

    def reject_replaced(self, why: str, details: DecisionDetails) -> None:
        """Reject the model that the rollback replaces, so that no later run restores it."""
        if details.rollback_to and details.rolled_back_from:
            reason = rejection_comment(details.kind, details.rollback_to.version, why)
            self._reject(details.rolled_back_from.digest, reason)

    def _reject(self, digest: str, why: str) -> None:
        """Reject the model: only a new decision can deploy it."""
        requests = self._run_store.approval_requests(digest)
        self._registry.reject([request.detail["package"] for request in requests], why)


def _number(request: StageRun) -> int:
    """Return the version's number: the number of its first package."""
    return int(request.detail["package"].rpartition("/")[2])
