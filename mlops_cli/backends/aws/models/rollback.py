"""The model versions on AWS, and the rollback to an earlier one, by a command or after a failed gate."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.rollback_runs import RollbackRuns
from mlops_cli.backends.aws.runs.queries import raise_for_status
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.base import Models, RollbackPlan
from mlops_cli.core.engine import RunView, StageFailed
from mlops_cli.core.models.decision import DecisionKind
from mlops_cli.core.models.model_versions import (
    ROLLED_BACK_TO,
    ModelVersion,
    earlier_version,
    needs_rollback,
    rollback_message,
)
from mlops_cli.core.models.rollback import RollbackChoice, require_shown
from mlops_cli.core.runs import Run, RunRequest, Status, overtaken_error
from mlops_cli.core.stages import DEPLOYMENT, ENDPOINT_GATE
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError


class AwsModels(Models):
    """``prepare``: see ``prepare_start``."""

    def __init__(self, deployed: DeployedProject, prepare: Callable[[RunRequest], StartRequest]) -> None:
        self._deployed = deployed
        self._prepare = prepare

    def list_versions(self) -> list[ModelVersion]:
        models = self._deployed.services.versions.list_versions()
        self._deployed.completion_cache.save_versions(models)
        return models

    def plan_rollback(self, version: str) -> RollbackPlan:
        self._deployed.require_owner()
        choice = self.rollback_runs.choose(self.list_versions(), version)
        if choice.unfinished:
            return RollbackPlan(choice.target, choice.unfinished.id, is_done=choice.is_done)
        shortfalls = self._accepted_for(choice.target).shortfalls
        return RollbackPlan(choice.target, shortfalls=shortfalls, replaced=choice.replaced)

    def rollback(self, version: str, comment: str, view: RunView, shown: str | None = None) -> Run:
        self._deployed.require_owner()
        choice = self.rollback_runs.choose(self.list_versions(), version)
        require_shown(choice, shown)
        return self._finish_rollback(choice, comment.strip(), view)

    @property
    def rollback_runs(self) -> RollbackRuns:
        prepare = partial(self._prepare, RunRequest(from_stage=DEPLOYMENT.name))
        return RollbackRuns(self._deployed.services, prepare)

    def require_success(self, run: Run, view: RunView) -> Run:
        """Raise the failure of a run as ``raise_for_status`` does, or the error that its model is not live any more.

        First roll back if its model failed the endpoint's gate.
        """
        try:
            return self._require_live(raise_for_status(run))
        except StageFailed as failure:
            if needs_rollback(run):
                raise self._rolled_back(run, failure, view) from None
            raise

    def _require_live(self, run: Run) -> Run:
        """Return the run. Raise MlopsError if another model was deployed after this run's."""
        if run.status is Status.DONE and self._deployed.services.runs.deployed() != run.deployment.output:
            raise overtaken_error(run)
        return run

    def _rolled_back(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        if returned := self._rolled_back_run(run):
            return failure.with_note(rollback_message(returned["version"], returned["digest"]))
        failing = run.deployment.output
        target = earlier_version(self.list_versions(), failing)
        if target is None:
            return failure.with_note("The endpoint continues to serve this model: there is no earlier approved one.")
        try:
            why = f"the gate {ENDPOINT_GATE.name} failed in run {run.id}"
            self._finish_rollback(RollbackChoice(target, failing), why, view, DecisionKind.AUTOMATIC_ROLLBACK)
        except MlopsError as error:
            return failure.with_note(
                f"The rollback to {target.name} failed, too: {error.message} {error.hint}".rstrip()
            )
        return failure.with_note(rollback_message(target.name, target.digest))

    def _rolled_back_run(self, run: Run) -> dict[str, str] | None:
        """Return the run of the pipeline's own rollback; None if it failed, so that this command must roll back."""
        returned = run.endpoint_gate.detail.get(ROLLED_BACK_TO)
        is_live = returned and self._deployed.services.endpoint.deployed_model().digest == returned["digest"]
        return returned if is_live else None

    def _finish_rollback(
        self, choice: RollbackChoice, why: str, view: RunView, kind: DecisionKind = DecisionKind.ROLLBACK
    ) -> Run:
        """Start the rollback or continue an unfinished one, and follow it to its end."""
        target, command = choice.target, f"mlops rollback --to {choice.target.name}"
        try:
            if choice.unfinished:
                run_id = self.rollback_runs.resume(choice.unfinished)
            else:
                versions, accepted = self.list_versions(), self._accepted_for(target)
                run_id = self.rollback_runs.start(target, choice.replaced, why, kind, versions, accepted)
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped before the rollback was complete.", f"Continue: {command}", EXIT_INTERRUPTED
            ) from None
        runs = self._deployed.services.runs
        run = runs.follow(run_id, view, ours=True, resume_command=command)
        return self._require_live(raise_for_status(run))

    def _accepted_for(self, target: ModelVersion) -> AcceptedLimits:
        """Return the present limits, and the shortfalls that a rollback to the version accepts."""
        report = self._deployed.services.approval_report
        shortfalls = report.shortfalls(self.rollback_runs.source_run(target.digest), against_live=False)
        return AcceptedLimits(self._deployed.use_case.metrics.named(), tuple(shortfalls))
