"""What people have decided about models, and what they see before they do. CodePipeline knows who said what."""

from __future__ import annotations

from dataclasses import replace

from mlops_cli.backends.aws.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.pipeline import Pipeline
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.standing import GATE, decision_of
from mlops_cli.evidence import Evidence, make_evidence
from mlops_cli.runs import Decision, Run, StageRun, Status
from mlops_cli.usecase import UseCase

APPROVED_BY = "approved by "


class Decisions:
    def __init__(self, pipeline: Pipeline, records: Records) -> None:
        self._pipeline = pipeline
        self._records = records

    def of(self, run: Run) -> Decision | None:
        return decision_of(run.id, run.stage(GATE.name), self._pipeline.actions(run.id))

    def about(self, model_digest: str) -> list[tuple[Decision, StageRun]]:
        """Every decision about a model, in whichever run, the newest first, with what was asked."""
        asked = self._records.asked(model_digest)
        found = [(decision_of(gate.run_id, gate, self._pipeline.actions(gate.run_id)), gate) for gate in asked]
        decided = [(decision, gate) for decision, gate in found if decision]
        return sorted(decided, key=lambda pair: pair[0].at, reverse=True)

    def approval(self, model_digest: str, key: str) -> StageRun | None:
        """The approval of this model under these floors, unless the last word about it was another one."""
        decision, gate = next(
            ((said, gate) for said, gate in self.about(model_digest) if said.key == key), (None, None)
        )
        if decision is None or gate is None or not decision.approved:
            return None
        said = f"{APPROVED_BY}{decision.who}" + (f": {decision.comment}" if decision.comment else "")
        # Whoever passes an approval on says in the comment whose it is.
        reason = decision.comment if decision.comment.startswith(APPROVED_BY) else said
        return replace(gate, status=Status.DONE, reason=reason)


def evidence_of(
    run: Run, use_case: UseCase, records: Records, decisions: Decisions, endpoint: SageMakerEndpoint
) -> Evidence:
    """What the person who decides about the run's model sees."""
    data = run.stage("preprocess").detail.get("dataset", {})
    model = run.stage("train").output
    earlier = next((decision for decision, _ in decisions.about(model)), None)
    return make_evidence(run, use_case.metrics, data, _live_training(records, endpoint), earlier)


def _live_training(records: Records, endpoint: SageMakerEndpoint) -> StageRun | None:
    """How the model came about that is live now."""
    live = endpoint.live()
    source = records.load(live.run_id) if live.run_id else None
    trained = source.stage("train") if source else None
    return trained if trained and trained.output == live.digest else None
