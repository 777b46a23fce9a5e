"""Decisions about models. CodePipeline knows who made each decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.model_registry import DELETED, REJECTED
from mlops_cli.backends.aws.models.accepted_limits import LoadAccepted
from mlops_cli.backends.aws.runs.status import decision_of
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.approval import SHORTFALLS, has_reason
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.runs import Run, StageRun, Status


def objection(decision: Decision, gate: StageRun) -> str:
    """Return why a decision does not count for a run's request; empty if it counts."""
    if decision.model_digest != gate.output:
        return f"it is for the model {decision.model_digest[:12]}, but the run asks about {gate.output[:12]}"
    shortfalls = dict.fromkeys([*decision.shortfalls, *gate.detail.get(SHORTFALLS, ())])
    if decision.approved and shortfalls and not has_reason(decision.comment):
        return f"the model has a shortfall ({'; '.join(shortfalls)}), and the approval has no reason"
    return ""


def approved_stage(decision: Decision, gate: StageRun) -> StageRun:
    """Return a run's request as a finished approval."""
    return replace(gate, status=Status.DONE, reason=f"{decision.verb} {decision.by}")


class ApprovalHistory:
    """``package_status``: returns a package's status in the registry. A rollback may have rejected an approved one."""

    def __init__(
        self,
        pipeline: Pipeline,
        records: S3RunStore,
        package_status: Callable[[str], str],
        load_accepted: LoadAccepted,
    ) -> None:
        self._pipeline = pipeline
        self._records = records
        self._package_status = package_status
        self.load_accepted = load_accepted

    def for_run(self, run: Run) -> Decision | None:
        return self._decision_of(run.approval, run.id)

    def _decision_of(self, gate: StageRun, run_id: str) -> Decision | None:
        """Return the decision in CodePipeline, or the recorded one if CodePipeline has forgotten the run."""
        actions = self._pipeline.actions(run_id)
        if not actions:
            return self._records.recorded_decision(run_id)
        return decision_of(run_id, gate, actions, self.load_accepted)

    def for_model(self, model_digest: str) -> list[tuple[Decision, StageRun]]:
        """Return every decision about a model, in any run, with its request; the newest first."""
        requests = self._records.approval_requests(model_digest)
        decisions = [(self._decision_of(gate, gate.run_id), gate) for gate in requests]
        decided = [(decision, gate) for decision, gate in decisions if decision and not objection(decision, gate)]
        return sorted(decided, key=lambda pair: pair[0].at, reverse=True)

    def require_origin(self, decision: Decision, gate: StageRun) -> None:
        """Raise StageFailed unless a forwarded approval has an original approval of the same model and limits."""
        pairs = self.for_model(decision.model_digest)
        origin, request = next((pair for pair in pairs if pair[0].run_id == decision.forwarded_from), (None, gate))
        is_original = origin is not None and origin.approved and not origin.forwarded_from
        if origin is None or not is_original or gate.key not in (origin.key, request.key):
            raise StageFailed(
                f"The approval forwarded from run {decision.forwarded_from} is not for this model.",
                "Ask for a decision: mlops run --from approval",
            )

    def approval(self, model_digest: str, key: str) -> StageRun | None:
        """Return the approval of this model under these limits, unless the latest decision rejects it."""
        latest = self.latest_approval(model_digest, key)
        return approved_stage(*latest) if latest else None

    def latest_approval(self, model_digest: str, key: str) -> tuple[Decision, StageRun] | None:
        """Return the valid approval with its request.

        It is valid under the limits of the decision and under those of the request, because a person saw both. A later
        rejection, or the deletion of the model package, makes it invalid under any limits.
        """
        since_rejection = takewhile(lambda pair: pair[0].approved, self.for_model(model_digest))
        pairs = ((decision, gate) for decision, gate in since_rejection if key in (decision.key, gate.key))
        decision, gate = next(pairs, (None, None))
        if decision is None or gate is None:
            return None
        if self._package_status(gate.detail["package"]) in (REJECTED, DELETED):
            return None
        return decision, gate
