"""A project on AWS, as a command uses it: its account, stacks, bucket and services, each created on first use."""

from __future__ import annotations

from functools import cached_property

from mlops_cli.backends.aws.clients.cloudformation import Stack, Stacks
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.configured_account import configured_account
from mlops_cli.backends.aws.infra.deploy import InfraDeployer
from mlops_cli.backends.aws.infra.deployed_settings import machines_of_runs
from mlops_cli.backends.aws.infra.ownership import require_owner
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.services import AwsServices
from mlops_cli.backends.aws.stack_outputs import StackOutputs, from_stack
from mlops_cli.backends.aws.stages.jobs.job_builder import JobBuilder
from mlops_cli.backends.model_evaluation import RenderReport
from mlops_cli.project.completion_cache import CompletionCache
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.instances import InstanceSettings
from mlops_cli.project.usecase.use_case import UseCase


class DeployedProject:
    def __init__(self, project: Project, use_case: UseCase, settings: Settings, render_report: RenderReport) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.account = configured_account(settings)
        self.names = ResourceNames(use_case.name, settings["STAGE"])
        self._render_report = render_report

    @cached_property
    def stacks(self) -> Stacks:
        return Stacks(self.account, self.names)

    def require_owner(self) -> None:
        """Raise MlopsError if the stacks belong to another owner. Every use of the stacks calls this first."""
        require_owner(self.stacks, self.names, self.settings, self.account)

    @property
    def endpoint_name(self) -> str:
        return self.settings.endpoint_name(self.use_case.name)

    @cached_property
    def pipeline_outputs(self) -> dict[str, str]:
        """Return the pipeline stack's outputs; raise MlopsError if the stack does not exist yet."""
        return self.stacks.required(self.names.pipeline_stack)

    @property
    def pipeline_stack(self) -> Stack | None:
        """Return the pipeline's stack with its outputs, if the stack is usable."""
        stack = self.stacks.find(self.names.pipeline_stack)
        return stack if stack and stack.outputs else None

    @property
    def machines(self) -> InstanceSettings:
        return machines_of_runs(self.use_case, self.settings, self.pipeline_stack)

    @cached_property
    def infra_deployer(self) -> InfraDeployer:
        return InfraDeployer(self.project, self.use_case, self.settings, self.account, self.names)

    @cached_property
    def bucket(self) -> Bucket:
        """Return the project's part of the data bucket; raise MlopsError without a storage stack."""
        return self.infra_deployer.storage_bucket()

    @cached_property
    def outputs(self) -> StackOutputs:
        return from_stack(self.pipeline_outputs)

    @cached_property
    def services(self) -> AwsServices:
        return self.services_of(self.outputs, self.bucket)

    def services_of(self, outputs: StackOutputs, bucket: Bucket, decides: bool = False) -> AwsServices:
        return AwsServices(
            self.account,
            outputs,
            bucket,
            self.stacks,
            self.names,
            self.use_case.metrics,
            self._render_report,
            decides,
        )

    @cached_property
    def completion_cache(self) -> CompletionCache:
        return CompletionCache(self.project.state, self.settings.cache_location(self.use_case.name))

    def job_builder(
        self,
        outputs: StackOutputs,
        bucket: Bucket,
        machines: InstanceSettings,
        scratch: str = "",
        checkpoints: str = "",
    ) -> JobBuilder:
        region, tags = self.account.region, self.names.tags
        return JobBuilder(self.project, self.use_case, outputs, bucket, region, tags, machines, scratch, checkpoints)
