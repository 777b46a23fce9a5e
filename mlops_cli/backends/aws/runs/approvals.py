"""Decisions about models. CodePipeline knows the actor of each decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.model_registry import REJECTED
from mlops_cli.backends.aws.runs.status import APPROVAL, decision_of
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.core.decision import Decision
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.runs import Run, StageRun, Status


def objection(decision: Decision, gate: StageRun) -> str:
    """Return the reason why a decision does not count for a run's request; empty if it does."""
    if decision.model_digest != gate.output:
        return f"it names the model {decision.model_digest[:12]}, and the run has asked about {gate.output[:12]}"
    if decision.approved and decision.shortfalls and not decision.comment.strip():
        return f"the model falls short ({'; '.join(decision.shortfalls)}), and the approval gives no reason"
    return ""


class ApprovalHistory:
    """``package_status`` returns a package's status in the model registry: a rollback rejects an approved one."""

    def __init__(self, pipeline: Pipeline, records: S3RunStore, package_status: Callable[[str], str]) -> None:
        self._pipeline = pipeline
        self._records = records
        self._package_status = package_status

    def for_run(self, run: Run) -> Decision | None:
        return decision_of(run.id, run.stage(APPROVAL.name), self._pipeline.actions(run.id))

    def for_model(self, model_digest: str) -> list[tuple[Decision, StageRun]]:
        """Return every decision about a model in any run, the newest first, with its request."""
        requests = self._records.approval_requests(model_digest)
        decisions = [(decision_of(gate.run_id, gate, self._pipeline.actions(gate.run_id)), gate) for gate in requests]
        decided = [(decision, gate) for decision, gate in decisions if decision and not objection(decision, gate)]
        return sorted(decided, key=lambda pair: pair[0].at, reverse=True)

    def require_origin(self, decision: Decision) -> None:
        """Raise StageFailed unless a forwarded approval has an original for the same model and limits."""
        decisions = (earlier for earlier, _ in self.for_model(decision.model_digest))
        origin = next((earlier for earlier in decisions if earlier.run_id == decision.forwarded_from), None)
        if origin is None or not origin.approved or origin.forwarded_from or origin.key != decision.key:
            raise StageFailed(
                f"The approval that was passed on from run {decision.forwarded_from} is none of this model.",
                "Ask for a decision: mlops run --from approval",
            )

    def approval(self, model_digest: str, key: str) -> StageRun | None:
        """Return the approval of this model under these limits, unless the latest decision is a rejection."""
        latest = self.latest_approval(model_digest, key)
        return replace(latest[1], status=Status.DONE, reason=f"{latest[0].verb} {latest[0].by}") if latest else None

    def latest_approval(self, model_digest: str, key: str) -> tuple[Decision, StageRun] | None:
        """Return the valid approval with its request."""
        decision, gate = next(
            ((candidate, gate) for candidate, gate in self.for_model(model_digest) if candidate.key == key),
            (None, None),
        )
        if decision is None or gate is None or not decision.approved:
            return None
        if self._package_status(gate.detail["package"]) == REJECTED:
            return None
        return decision, gate
