"""The decisions about models on this machine, recorded in the run store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.backends.base import Approvals
from mlops_cli.backends.local.runs import selection as run_selection
from mlops_cli.backends.local.runs.execution import RunExecution
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.core import clock
from mlops_cli.core.engine import RunView
from mlops_cli.core.models.approval import limits_of
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.models.evidence import require_reason
from mlops_cli.core.runs import Run, Status, has_decision
from mlops_cli.core.stages import APPROVAL

if TYPE_CHECKING:
    from mlops_cli.core.models.evidence import Evidence


class LocalApprovals(Approvals):
    def __init__(self, services: LocalServices, execution: RunExecution) -> None:
        self._services = services
        self._execution = execution

    def evidence(self, run: Run) -> Evidence:
        return self._services.approval_evidence.evidence(run)

    def report(self, run: Run) -> str:
        """Return the report's URL. A decided run's report is not written again: another model may be live by now."""
        evidence = self._services.approval_evidence
        file = evidence.report_file(run)
        kept = file.is_file() and run.status is not Status.WAITING
        return (file if kept else evidence.write_report(run)).as_uri()

    def check_waiting(self, run: Run) -> None:
        run_selection.check_waiting(run, self._services.store)

    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        services = self._services
        with services.hold("approve"):
            run = services.get_run(run.id)
            if not has_decision(run, approved):
                self.check_waiting(run)
                services.lock.write_holder("approve", run.id)
                decision = self._decision(run, approved, comment.strip())
                run_selection.record_decision(run, decision, services.store)
                self._execution.write_report(run, view)
            elif approved:
                run_selection.check_still_approved(run, services.store, services.executor)
            if approved and run.status is not Status.DONE:
                services.lock.write_holder("approve", run.id)
                return self._execution.run_stages(run, view, APPROVAL.name)
            view.stage_changed(run, run.approval)
            return run

    def _decision(self, run: Run, approved: bool, comment: str) -> Decision:
        """Return a decision on the present evidence, under the present limits in usecase.toml."""
        evidence, executor = self.evidence(run), self._services.executor
        if approved:
            require_reason(evidence, comment)
        stage, gate = APPROVAL, run.approval
        gate.cache_inputs = executor.cache_inputs(stage, run)
        gate.key = executor.key(gate.cache_inputs)
        return Decision(
            run.id,
            approved,
            self._services.caller(),
            comment,
            clock.now(),
            gate.key,
            gate.output,
            shortfalls=tuple(evidence.comment_reasons),
            limits=limits_of(gate.cache_inputs),
        )
