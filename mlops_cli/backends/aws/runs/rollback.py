"""The model versions on AWS, and the rollback to an earlier one: by a command, or after a failed gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.runs.approval_summary import DecisionDetails, summary_of
from mlops_cli.backends.aws.runs.queries import raise_for_status
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.base import Models, RollbackPlan
from mlops_cli.core.decision import DecisionKind
from mlops_cli.core.engine import RunView, StageFailed
from mlops_cli.core.model_versions import (
    FIRST_STAGE,
    LAST_GATE,
    ROLLED_BACK_TO,
    ModelVersion,
    approved_run,
    earlier_version,
    named_model,
    needs_rollback,
    rollback_message,
    rollback_target,
)
from mlops_cli.core.runs import Run, RunRequest
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
        return RollbackPlan(rollback_target(self.list_versions(), self._deployed_digest(), version))

    def rollback(self, version: str, comment: str, view: RunView) -> Run:
        digest = self._deployed_digest()
        return self._start_rollback(rollback_target(self.list_versions(), digest, version), digest, comment, view)

    def _deployed_digest(self) -> str:
        """Return the endpoint's model; without an endpoint, the last deployed one."""
        services = self._deployed.services
        return services.endpoint.deployed_model().digest or services.runs.deployed()

    def require_success(self, run: Run, view: RunView) -> Run:
        """Raise as ``raise_for_status`` does; roll back first if the model failed its gate on the endpoint."""
        try:
            return raise_for_status(run)
        except StageFailed as failure:
            if needs_rollback(run):
                raise self._rolled_back(run, failure, view) from None
            raise

    def _rolled_back(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        if returned := self._rolled_back_run(run):
            return failure.with_note(rollback_message(returned["version"], returned["digest"]))
        failing = run.stage(FIRST_STAGE).output
        target = earlier_version(self.list_versions(), failing)
        if target is None:
            return failure.with_note("The endpoint goes on serving this model: there is no earlier approved one.")
        try:
            why = f"the gate {LAST_GATE} failed in run {run.id}"
            self._start_rollback(target, failing, why, view, DecisionKind.AUTOMATIC_ROLLBACK)
        except MlopsError as error:
            return failure.with_note(
                f"Going back to {target.name} has failed, too: {error.message} {error.hint}".rstrip()
            )
        return failure.with_note(rollback_message(target.name, target.digest))

    def _rolled_back_run(self, run: Run) -> dict[str, str] | None:
        """Return the pipeline's own rollback; None if it did not succeed and this command must roll back."""
        returned = run.stage(LAST_GATE).detail.get(ROLLED_BACK_TO)
        is_live = returned and self._deployed.services.endpoint.deployed_model().digest == returned["digest"]
        return returned if is_live else None

    def _start_rollback(
        self,
        target: ModelVersion,
        live_digest: str,
        why: str,
        view: RunView,
        kind: DecisionKind = DecisionKind.ROLLBACK,
    ) -> Run:
        """Start a run at the deployment with the model's earlier stages; reject the live model.

        Reject only after the run exists: a live model is never rejected without a successor. A repeated command
        continues the same run.
        """
        services = self._deployed.services
        # An interrupted rollback copied its stages from the same original run, so prefer the original.
        runs = sorted(services.run_store.runs(), key=lambda run: run.forced_from == FIRST_STAGE)
        source_run = approved_run(runs, target.digest)
        command = f"mlops rollback --to {target.name}"
        details = DecisionDetails(kind, target.named, named_model(self.list_versions(), live_digest))
        try:
            start_request = replace(self._prepare(RunRequest(from_stage=FIRST_STAGE)), source=source_run.id)
            run_id, _ = services.starter.start(start_request)
            services.versions.reject(live_digest, f"{kind.value} to {target.name}: {why}".rstrip(": "))
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped before the rollback was complete.", f"Go on with it: {command}", EXIT_INTERRUPTED
            ) from None
        return raise_for_status(
            services.runs.follow(run_id, view, ours=True, summary=summary_of(why, details), resume_command=command)
        )
