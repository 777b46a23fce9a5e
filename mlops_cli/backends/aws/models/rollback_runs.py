"""Rollbacks on AWS: a run that starts at the deployment and copies the earlier stages from the model's own run.

The execution's variable ``rollback`` holds the decision from the start, although CodePipeline asks for it only at the
approval. If a command is killed, `mlops rollback` and `mlops run` send this decision and complete the rollback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mlops_cli.backends.aws.clients.model_registry import DELETED
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, rejection_comment
from mlops_cli.backends.aws.runs.pipeline_variables import decode_start, encode_rollback
from mlops_cli.backends.aws.runs.start import StartRequest
from mlops_cli.backends.aws.services import AwsServices
from mlops_cli.core.models.decision import DecisionKind
from mlops_cli.core.models.model_versions import ModelVersion, approved_run, named_model
from mlops_cli.core.models.rollback import LastRollback, RollbackChoice, choose_rollback
from mlops_cli.core.runs import Run, Status
from mlops_cli.core.stages import DEPLOYMENT
from mlops_cli.errors import MlopsError


class RollbackRuns:
    """``start_request``: returns the request for a run that starts at the deployment."""

    def __init__(self, services: AwsServices, start_request: Callable[[], StartRequest]) -> None:
        self._services = services
        self._start_request = start_request

    def last(self) -> LastRollback | None:
        """Return the newest rollback; None if there is none or a newer run was approved."""
        for number, execution in enumerate(self._services.pipeline.executions()):
            run = self._services.runs.load(execution)
            if rollback := self._rollback_of(run, is_newest=number == 0):
                return rollback
            if run.decision and run.decision.approved:
                return None
        return None

    def interrupted(self) -> LastRollback | None:
        """Return the newest run if it is a rollback that has neither finished nor failed."""
        newest = next(self._services.pipeline.executions(), None)
        last = self._rollback_of(self._services.runs.load(newest), is_newest=True) if newest else None
        unfinished = last and last.run.status is not Status.DONE and last.is_unfinished(self._services.runs.deployed())
        return last if unfinished else None

    def _rollback_of(self, run: Run, is_newest: bool) -> LastRollback | None:
        _, details = self._services.runs.rollback_decision(run.id) or ("", DecisionDetails())
        target, replaced = details.rollback_to, details.rolled_back_from
        return LastRollback(run, target.digest, replaced.digest if replaced else "", is_newest) if target else None

    def choose(self, models: list[ModelVersion], version: str) -> RollbackChoice:
        return choose_rollback(models, self._services.runs.deployed(), version, self.last())

    def source_run(self, digest: str) -> Run:
        """Return the run whose stages a rollback to the model copies: the original run rather than an earlier rollback.

        Raise MlopsError if there is no such run, or if its model package was deleted.
        """
        runs = sorted(self._services.run_store.runs(), key=lambda run: run.forced_from == DEPLOYMENT.name)
        run = approved_run(runs, digest)
        package = run.approval.detail["package"]
        if self._services.registry.status(package) == DELETED:
            raise MlopsError(
                f"The model {digest[:12]} cannot be deployed again: its model package {package} was deleted.",
                "Choose another version: mlops models",
            )
        return run

    def start(
        self,
        target: ModelVersion,
        replaced: str,
        why: str,
        kind: DecisionKind,
        models: list[ModelVersion],
        accepted: AcceptedLimits,
    ) -> str:
        """Start the run, then reject the replaced model, so that its successor exists first. Return the run's id."""
        digest = self._services.accepted_limits.save(accepted)
        details = DecisionDetails(kind, target.named, named_model(models, replaced), accepted=digest)
        source = self.source_run(target.digest).id
        request = replace(self._start_request(), source=source, rollback=encode_rollback(why, details))
        run_id = self._services.starter.start_rollback(request)
        self._reject(replaced, kind, target.name, why)
        return run_id

    def resume(self, run: Run) -> str:
        """Complete an unfinished rollback, as far as a command has to. Return its run's id.

        A stopped execution cannot continue, so a new execution with the same variables replaces it.
        """
        why, details = self._services.runs.rollback_decision(run.id) or ("", DecisionDetails())
        run_id = run.id
        if run.status is Status.INTERRUPTED:
            _, source, _ = decode_start(self._services.pipeline.variables(run.id)["from"])
            request = replace(self._start_request(), source=source, rollback=encode_rollback(why, details))
            run_id = self._services.starter.start_rollback(request)
        if details.rollback_to and details.rolled_back_from:
            self._reject(details.rolled_back_from.digest, details.kind, details.rollback_to.version, why)
        return run_id

    def _reject(self, digest: str, kind: DecisionKind, target: str, why: str) -> None:
        self._services.versions.reject(digest, rejection_comment(kind, target, why))
