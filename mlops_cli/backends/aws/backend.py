"""The aws target: stacks, pipeline, jobs and endpoint in one account and region."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.base import Backend
from mlops_cli.backends.report_page import report_renderer
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase

if TYPE_CHECKING:
    from mlops_cli.backends.aws.data import AwsData
    from mlops_cli.backends.aws.doctor import CheckContext
    from mlops_cli.backends.aws.endpoint import AwsServedEndpoint
    from mlops_cli.backends.aws.infrastructure import AwsInfrastructure
    from mlops_cli.backends.aws.models.pipeline_approvals import PipelineApprovals
    from mlops_cli.backends.aws.models.rollback import AwsModels
    from mlops_cli.backends.aws.runs.pipeline_runs import PipelineRuns
    from mlops_cli.backends.aws.runs.reproduce import AwsReproductions
    from mlops_cli.backends.aws.runs.start import StartRequest
    from mlops_cli.backends.aws.stages.step_runner import StepRunner
    from mlops_cli.core.checks import Finding
    from mlops_cli.core.runs import RunRequest


class AwsBackend(Backend):
    target = "aws"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.deployed = DeployedProject(project, use_case, settings, report_renderer(use_case))

    @cached_property
    def infra(self) -> AwsInfrastructure:
        from mlops_cli.backends.aws.infrastructure import AwsInfrastructure

        return AwsInfrastructure(self.deployed, self._check_company)

    def _check_company(self) -> list[Finding]:
        from mlops_cli.backends.aws.doctor.company import company_problems

        return company_problems(self._check_context())

    @cached_property
    def data(self) -> AwsData:
        from mlops_cli.backends.aws.data import AwsData

        return AwsData(self.deployed)

    @cached_property
    def runs(self) -> PipelineRuns:
        from mlops_cli.backends.aws.runs.pipeline_runs import PipelineRuns

        return PipelineRuns(self.deployed, self.models, self._prepare_start)

    def _prepare_start(self, request: RunRequest) -> StartRequest:
        from mlops_cli.backends.aws.runs.prepare_start import prepare_start

        return prepare_start(self.deployed, request)

    @cached_property
    def stages(self) -> StepRunner:
        from mlops_cli.backends.aws.stages.step_runner import StepRunner

        return StepRunner(self.deployed)

    @cached_property
    def approvals(self) -> PipelineApprovals:
        from mlops_cli.backends.aws.models.pipeline_approvals import PipelineApprovals

        return PipelineApprovals(self.deployed, self.models, self.endpoint)

    @cached_property
    def models(self) -> AwsModels:
        from mlops_cli.backends.aws.models.rollback import AwsModels

        return AwsModels(self.deployed, self._prepare_start)

    @cached_property
    def reproductions(self) -> AwsReproductions:
        from mlops_cli.backends.aws.runs.reproduce import AwsReproductions

        return AwsReproductions(self.deployed)

    @cached_property
    def endpoint(self) -> AwsServedEndpoint:
        from mlops_cli.backends.aws.endpoint import AwsServedEndpoint

        return AwsServedEndpoint(self.deployed)

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.aws.doctor import run_doctor

        return run_doctor(self._check_context())

    def _check_context(self) -> CheckContext:
        from mlops_cli.backends.aws.doctor import CheckContext

        deployed = self.deployed
        return CheckContext(
            deployed.project,
            deployed.use_case,
            deployed.settings,
            deployed.account,
            deployed.names,
            self.data.dataset,
        )
