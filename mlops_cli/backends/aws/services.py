"""The objects that work on a project's runs, each created on first use, for commands and for steps."""

from __future__ import annotations

from functools import cached_property

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.cloudformation import Stacks
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.clients.logs import Logs
from mlops_cli.backends.aws.clients.model_registry import ModelRegistry
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.models.accepted_limits_store import AcceptedLimitsStore
from mlops_cli.backends.aws.models.approvals import ApprovalHistory
from mlops_cli.backends.aws.models.approve import ApprovalSender
from mlops_cli.backends.aws.models.model_versions import ModelVersions
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.runs.failure_reason import FailureExplainer
from mlops_cli.backends.aws.runs.queries import RunQueries
from mlops_cli.backends.aws.runs.start import RunStarter
from mlops_cli.backends.aws.runs.stop import RunStopper
from mlops_cli.backends.aws.runs.store import S3RunStore
from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.backends.aws.stages.approval_report import ApprovalReport
from mlops_cli.backends.aws.stages.auto_rollback import AutoRollback
from mlops_cli.backends.aws.state_format import check_format
from mlops_cli.backends.model_evaluation import RenderReport
from mlops_cli.core.models.metric_bounds import Metrics


class AwsServices:
    """``decides``: this is a deciding step, whose records are stored separately."""

    def __init__(
        self,
        account: Account,
        outputs: StackOutputs,
        bucket: Bucket,
        stacks: Stacks,
        names: ResourceNames,
        metrics: Metrics,
        render_report: RenderReport,
        decides: bool = False,
    ) -> None:
        self.account = account
        self.outputs = outputs
        self.bucket = bucket
        self.stacks = stacks
        self.names = names
        self._metrics = metrics
        self._render_report = render_report
        self.decides = decides

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.account.client("codepipeline"), self.outputs.pipeline)

    @cached_property
    def run_store(self) -> S3RunStore:
        check_format(self.bucket)
        return S3RunStore(self.bucket, self.decides)

    @cached_property
    def approvals(self) -> ApprovalHistory:
        return ApprovalHistory(self.pipeline, self.run_store, self.registry.status, self.accepted_limits.load)

    @cached_property
    def accepted_limits(self) -> AcceptedLimitsStore:
        return AcceptedLimitsStore(self.bucket)

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(
            self.account.client("sagemaker"), self.outputs.model_group, self.outputs.serving_image, self.bucket
        )

    @cached_property
    def endpoint(self) -> SageMakerEndpoint:
        return SageMakerEndpoint(self.account, self.outputs.endpoint, self.bucket)

    @cached_property
    def runs(self) -> RunQueries:
        reasons = FailureExplainer(self.account, self._endpoint_failure)
        logs = Logs(self.account.client("logs"))
        return RunQueries(self.pipeline, self.run_store, self.approvals, reasons, logs, self._clear_endpoint_stack)

    def _endpoint_failure(self, since: float) -> str:
        stack = self.stacks.find(self.names.endpoint_stack)
        return self.stacks.failure_reason(stack, since) if stack else ""

    def _clear_endpoint_stack(self) -> None:
        self.stacks.delete_never_created(self.names.endpoint_stack)

    @cached_property
    def starter(self) -> RunStarter:
        return RunStarter(self.runs, self.approvals, lambda: self.endpoint.deployed_model().digest)

    @cached_property
    def approval_sender(self) -> ApprovalSender:
        return ApprovalSender(self.runs, self.registry, self.accepted_limits)

    @cached_property
    def stopper(self) -> RunStopper:
        return RunStopper(self.account, self.runs)

    @cached_property
    def versions(self) -> ModelVersions:
        return ModelVersions(self.run_store, self.approvals, self.registry)

    @cached_property
    def auto_rollback(self) -> AutoRollback:
        return AutoRollback(self.run_store, self.approvals, self.registry, self.bucket)

    @cached_property
    def approval_report(self) -> ApprovalReport:
        return ApprovalReport(
            self._metrics, self._render_report, self.bucket, self.run_store, self.approvals, self.endpoint
        )
