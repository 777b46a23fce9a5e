"""Decisions about models on AWS: sent to the pipeline's manual approval, based on the evidence in the bucket."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits
from mlops_cli.backends.aws.models.rollback import AwsModels
from mlops_cli.backends.aws.runs.queries import raise_for_status
from mlops_cli.backends.aws.stages.approval_report import ApprovalReport
from mlops_cli.backends.base import Approvals, ServedEndpoint
from mlops_cli.core.engine import RunView
from mlops_cli.core.runs import Run, Status, has_decision, overtaken_error
from mlops_cli.errors import EXIT_INTERRUPTED, MlopsError

if TYPE_CHECKING:
    from mlops_cli.core.models.evidence import Evidence


class PipelineApprovals(Approvals):
    def __init__(self, deployed: DeployedProject, models: AwsModels, endpoint: ServedEndpoint) -> None:
        self._deployed = deployed
        self._models = models
        self._endpoint = endpoint

    @property
    def _report(self) -> ApprovalReport:
        return self._deployed.services.approval_report

    def evidence(self, run: Run) -> Evidence:
        return self._report.evidence(run)

    def report(self, run: Run) -> str:
        return self._report.report(run)

    def check_waiting(self, run: Run) -> None:
        self._deployed.require_owner()
        self._deployed.services.approval_sender.check(run)

    def approve(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        self._deployed.require_owner()
        if has_decision(run, approved):
            return self._completed(run, view) if approved else run
        try:
            shortfalls = tuple(self.evidence(run).comment_reasons) if approved else ()
            accepted = AcceptedLimits(self._deployed.use_case.metrics.named(), shortfalls)
            self._deployed.services.approval_sender.send(run, approved, comment.strip(), accepted)
        except KeyboardInterrupt:
            raise MlopsError(
                "Stopped while the decision was being sent.", "Check: mlops status", EXIT_INTERRUPTED
            ) from None
        run = self._followed(run, view)
        if approved:
            return self._models.require_success(run, view)
        with suppress(ImportError):  # a rejection must work without numpy: `mlops report` adds the decision later
            self._report.publish_decision(run)
        return run

    def _completed(self, run: Run, view: RunView) -> Run:
        """Follow an approved run that the pipeline is still running."""
        if run.status is Status.RUNNING:
            return self._models.require_success(self._followed(run, view), view)
        if self._endpoint.status().approved_digest != run.approval.output:
            raise overtaken_error(run)
        return raise_for_status(run)

    def _followed(self, run: Run, view: RunView) -> Run:
        run = self._deployed.services.runs.follow(run.id, view, shown_run=run)
        self._deployed.completion_cache.save_run(run)
        return run
