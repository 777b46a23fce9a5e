"""The local target: everything on this machine, under the project's .mlops/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_cli.backends.base import Backend
from mlops_cli.backends.local.data import LocalData
from mlops_cli.backends.local.endpoint import LocalServedEndpoint
from mlops_cli.backends.local.infrastructure import LocalInfrastructure
from mlops_cli.backends.local.models.approvals import LocalApprovals
from mlops_cli.backends.local.models.local_models import LocalModels
from mlops_cli.backends.local.runs.execution import RunExecution
from mlops_cli.backends.local.runs.local_runs import LocalRuns, LocalStages
from mlops_cli.backends.local.runs.reproduce import LocalReproductions
from mlops_cli.backends.local.services import LocalServices
from mlops_cli.backends.report_page import report_renderer
from mlops_cli.project.paths import Project
from mlops_cli.project.settings import Settings
from mlops_cli.project.usecase import UseCase

if TYPE_CHECKING:
    from mlops_cli.core.checks import Finding


class LocalBackend(Backend):
    target = "local"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.services = services = LocalServices(project, use_case, settings, report_renderer(use_case))
        execution = RunExecution(services)
        self.infra = LocalInfrastructure(services)
        self.data = LocalData(project, use_case, services.lock)
        self.runs = LocalRuns(services, execution)
        self.stages = LocalStages(services)
        self.approvals = LocalApprovals(services, execution)
        self.models = LocalModels(services, execution)
        self.reproductions = LocalReproductions(services)
        self.endpoint = LocalServedEndpoint(services)

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.local.doctor import checks
        from mlops_cli.core.checks import run_checks

        return run_checks(checks(self.services, self.endpoint))
