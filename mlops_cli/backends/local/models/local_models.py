"""The model versions of this machine, and the rollback to an earlier one."""

from __future__ import annotations

from mlops_cli.backends.base import Models, RollbackPlan
from mlops_cli.backends.local.models import rollback
from mlops_cli.backends.local.runs import selection as run_selection
from mlops_cli.backends.local.runs.execution import RunExecution
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.core.engine import RunView
from mlops_cli.core.models.model_versions import ModelVersion, approved_run, deployed_version
from mlops_cli.core.models.rollback import RollbackChoice, choose_rollback, require_shown
from mlops_cli.core.runs import Run
from mlops_cli.core.stages import DEPLOYMENT


class LocalModels(Models):
    def __init__(self, services: LocalServices, execution: RunExecution) -> None:
        self._services = services
        self._execution = execution

    def list_versions(self) -> list[ModelVersion]:
        return self._services.models()

    def plan_rollback(self, version: str) -> RollbackPlan:
        return self._plan(self._choose(version))

    def _choose(self, version: str) -> RollbackChoice:
        models = self.list_versions()
        deployed = deployed_version(models)
        last = rollback.last_rollback(self._services.store)
        return choose_rollback(models, deployed.digest if deployed else "", version, last)

    def _plan(self, choice: RollbackChoice) -> RollbackPlan:
        if choice.unfinished:
            return RollbackPlan(choice.target, choice.unfinished.id, is_done=choice.is_done)
        source = approved_run(self._services.store.runs(), choice.target.digest)
        shortfalls = tuple(self._services.approval_evidence.shortfalls(source, against_live=False))
        return RollbackPlan(choice.target, shortfalls=shortfalls, replaced=choice.replaced)

    def rollback(self, version: str, comment: str, view: RunView, shown: str | None = None) -> Run:
        with self._services.hold("rollback"):
            choice = self._choose(version)
            require_shown(choice, shown)
            run = self._rollback_to(choice, comment)
            self._services.lock.write_holder("rollback", run.id)
            return self._execution.run_stages(run, view, DEPLOYMENT.name)

    def _rollback_to(self, choice: RollbackChoice, comment: str) -> Run:
        """Return the run that deploys the version: an interrupted rollback to it, or a new run."""
        services, plan = self._services, self._plan(choice)
        deployed = deployed_version(self.list_versions())
        if plan.run_id:
            return services.get_run(plan.run_id)
        actor = services.caller()
        limits = services.use_case.metrics.named()
        reason = rollback.RollbackReason(actor, comment.strip(), limits, plan.shortfalls)
        away_from = deployed.named if deployed else None
        overtaken = run_selection.superseded_deploy(services.store)
        return rollback.start_rollback(plan.target, away_from, reason, services.store, overtaken)
