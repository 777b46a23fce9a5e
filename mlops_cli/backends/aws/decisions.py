"""What people have decided about models, and what they see before they do. CodePipeline knows who said what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlops_cli.backends.aws.pipeline import Pipeline
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.registry import REJECTED
from mlops_cli.backends.aws.standing import GATE, decision_of
from mlops_cli.runs import Decision, Run, StageRun, Status

APPROVED_BY = "approved by "


class Decisions:
    """``package_status`` asks the model registry how a package stands: a rollback rejects one that was approved."""

    def __init__(self, pipeline: Pipeline, records: Records, package_status: Callable[[str], str]) -> None:
        self._pipeline = pipeline
        self._records = records
        self._package_status = package_status

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
        if self._package_status(gate.detail["package"]) == REJECTED:
            return None
        said = f"{APPROVED_BY}{decision.who}" + (f": {decision.comment}" if decision.comment else "")
        # Whoever passes an approval on says in the comment whose it is.
        reason = decision.comment if decision.comment.startswith(APPROVED_BY) else said
        return replace(gate, status=Status.DONE, reason=reason)
