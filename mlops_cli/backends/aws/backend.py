"""The aws target: stacks, pipeline, jobs and endpoint in one account and region."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from mlops_cli.backends.aws.data import AwsData
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.endpoint import AwsServedEndpoint
from mlops_cli.backends.aws.infrastructure import AwsInfrastructure
from mlops_cli.backends.aws.models.pipeline_approvals import PipelineApprovals
from mlops_cli.backends.aws.models.rollback import AwsModels
from mlops_cli.backends.aws.runs.pipeline_runs import PipelineRuns
from mlops_cli.backends.aws.runs.prepare_start import prepare_start
from mlops_cli.backends.aws.runs.reproduce import AwsReproductions
from mlops_cli.backends.aws.stages.step_runner import StepRunner
from mlops_cli.backends.base import Backend
from mlops_cli.backends.report_page import report_renderer
from mlops_cli.project.paths import Project
from mlops_cli.project.settings import Settings
from mlops_cli.project.usecase import UseCase

if TYPE_CHECKING:
    from mlops_cli.core.checks import Finding


class AwsBackend(Backend):
    target = "aws"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.deployed = deployed = DeployedProject(project, use_case, settings, report_renderer(use_case))
        prepare = partial(prepare_start, deployed)
        self.infra = AwsInfrastructure(deployed)
        self.data = AwsData(deployed)
        self.endpoint = AwsServedEndpoint(deployed)
        self.models = models = AwsModels(deployed, prepare)
        self.stages = StepRunner(deployed)
        self.runs = PipelineRuns(deployed, models, prepare)
        self.approvals = PipelineApprovals(deployed, models, self.endpoint)
        self.reproductions = AwsReproductions(deployed)

    def run_checks(self) -> Iterator[Finding]:
        from mlops_cli.backends.aws.doctor import CheckContext, run_doctor

        deployed = self.deployed
        return run_doctor(
            CheckContext(
                deployed.project,
                deployed.use_case,
                deployed.settings,
                deployed.account,
                deployed.names,
                self.data.dataset,
            )
        )
