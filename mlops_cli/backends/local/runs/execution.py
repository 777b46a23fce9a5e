"""Run the stages of a run on this machine, up to the approval or the end, with its report and automatic rollback."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlops_cli.backends.local.models import rollback
from mlops_cli.backends.local.runs.selection import supersede_older
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.core.engine import RunView, StageFailed, run_stages
from mlops_cli.core.models.decision import AUTOMATIC, DecisionKind
from mlops_cli.core.models.model_versions import (
    approved_run,
    earlier_version,
    named_model,
    needs_rollback,
    rollback_message,
)
from mlops_cli.core.runs import Run, Status
from mlops_cli.core.stages import APPROVAL, DEPLOYMENT, ENDPOINT_GATE
from mlops_cli.errors import MlopsError


class RunExecution:
    """The caller holds the project's lock."""

    def __init__(self, services: LocalServices) -> None:
        self._services = services

    def run_stages(self, run: Run, view: RunView, start: str) -> Run:
        services = self._services
        try:
            run_stages(run, services.executor, view, start)
        except StageFailed as failure:
            if needs_rollback(run):
                raise self._with_rollback(run, failure, view) from None
            raise
        supersede_older(run, services.store)
        has_report = services.approval_evidence.report_file(run).is_file()
        if run.training.output and (run.status is Status.WAITING or not has_report):
            self.write_report(run, view)
        if run.status is Status.DONE:
            self._attempt(run, lambda: services.approval_evidence.write_outcome(run))
        return run

    def write_report(self, run: Run, view: RunView) -> None:
        """Write the report. Log a failure: neither a run nor a decision fails because of its report."""
        evidence = self._services.approval_evidence
        notify = partial(view.progress, APPROVAL.name)
        self._attempt(run, lambda: evidence.write_report(run, notify))

    def _attempt(self, run: Run, write: Callable[[], object]) -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 (made of files of user scripts, on a possibly full disk)
            import logging  # imported here, because most commands do not need it

            logging.getLogger("mlops").warning(
                "The report of run %s could not be written: %s", run.id, error or type(error).__name__
            )

    def _with_rollback(self, run: Run, failure: StageFailed, view: RunView) -> StageFailed:
        """Restore the approved model that was live before. Return the failure, with a note on the endpoint."""
        services, failing = self._services, run.deployment.output
        target = earlier_version(services.models(), failing)
        if target is None:
            return failure.with_note("The endpoint continues to serve this model: there is no earlier approved one.")
        source = approved_run(services.store.runs(), target.digest)
        reason = rollback.RollbackReason(
            AUTOMATIC,
            f"the gate {ENDPOINT_GATE.name} failed in run {run.id}",
            services.use_case.metrics.named(),
            tuple(services.approval_evidence.shortfalls(source, against_live=False)),
            DecisionKind.AUTOMATIC_ROLLBACK,
        )
        back = rollback.start_rollback(target, named_model(services.models(), failing), reason, services.store)
        services.lock.write_holder("rollback", back.id)
        try:
            run_stages(back, services.executor, view, DEPLOYMENT.name)
        except MlopsError as error:
            return failure.with_note(f"The rollback to {target.name} failed, too: {error.message}")
        return failure.with_note(rollback_message(target.name, target.digest))
