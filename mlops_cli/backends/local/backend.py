"""The local target: everything on this machine, under the project's .mlops/."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_cli.backends.base import Backend
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.backends.report_page import report_renderer
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase

if TYPE_CHECKING:
    from mlops_cli.backends.local.data import LocalData
    from mlops_cli.backends.local.endpoint import LocalServedEndpoint
    from mlops_cli.backends.local.infrastructure import LocalInfrastructure
    from mlops_cli.backends.local.models.approvals import LocalApprovals
    from mlops_cli.backends.local.models.local_models import LocalModels
    from mlops_cli.backends.local.runs.execution import RunExecution
    from mlops_cli.backends.local.runs.local_runs import LocalRuns, LocalStages
    from mlops_cli.backends.local.runs.reproduce import LocalReproductions
    from mlops_cli.core.checks import Finding


class LocalBackend(Backend):
    target = "local"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.services = LocalServices(project, use_case, settings, report_renderer(use_case))

    @cached_property
    def infra(self) -> LocalInfrastructure:
        from mlops_cli.backends.local.infrastructure import LocalInfrastructure

        return LocalInfrastructure(self.services)

    @cached_property
    def data(self) -> LocalData:
        from mlops_cli.backends.local.data import LocalData

        return LocalData(self.services.project, self.services.use_case, self.services.lock)

    @cached_property
    def _execution(self) -> RunExecution:
        from mlops_cli.backends.local.runs.execution import RunExecution

        return RunExecution(self.services)

    @cached_property
    def runs(self) -> LocalRuns:
        from mlops_cli.backends.local.runs.local_runs import LocalRuns

        return LocalRuns(self.services, lambda: self._execution)

    @cached_property
    def stages(self) -> LocalStages:
        from mlops_cli.backends.local.runs.local_runs import LocalStages

        return LocalStages(self.services)

    @cached_property
    def approvals(self) -> LocalApprovals:
        from mlops_cli.backends.local.models.approvals import LocalApprovals

        return LocalApprovals(self.services, self._execution)

    @cached_property
    def models(self) -> LocalModels:
        from mlops_cli.backends.local.models.local_models import LocalModels

        return LocalModels(self.services, self._execution)

    @cached_property
    def reproductions(self) -> LocalReproductions:
        from mlops_cli.backends.local.runs.reproduce import LocalReproductions

        return LocalReproductions(self.services)

    @cached_property
    def endpoint(self) -> LocalServedEndpoint:
        from mlops_cli.backends.local.endpoint import LocalServedEndpoint

        return LocalServedEndpoint(self.services)

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.local.doctor import checks
        from mlops_cli.core.checks import run_checks

        return run_checks(checks(self.services, self.endpoint))
