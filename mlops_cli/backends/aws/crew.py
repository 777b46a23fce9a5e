"""Everything that works on the runs of one site, made when it is first needed, on either side of the pipeline."""

from __future__ import annotations

from functools import cached_property

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.appraisal import Appraisal
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.deciding import Decider
from mlops_cli.backends.aws.decisions import Decisions
from mlops_cli.backends.aws.endpoint import SageMakerEndpoint
from mlops_cli.backends.aws.logs import Logs
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.pipeline import Pipeline
from mlops_cli.backends.aws.reasons import Reasons
from mlops_cli.backends.aws.records import Records
from mlops_cli.backends.aws.registry import Registry
from mlops_cli.backends.aws.runs import Runs
from mlops_cli.backends.aws.site import Site
from mlops_cli.backends.aws.stacks import Stacks
from mlops_cli.backends.aws.starting import Starter
from mlops_cli.backends.aws.stopping import Stopper
from mlops_cli.backends.aws.versions import Versions
from mlops_cli.usecase import UseCase


class Crew:
    """``decides``: of a step that decides, whose records are kept apart."""

    def __init__(
        self, account: Account, site: Site, bucket: Bucket, stacks: Stacks, names: Names, decides: bool = False
    ) -> None:
        self.account = account
        self.site = site
        self.bucket = bucket
        self.stacks = stacks
        self.names = names
        self.decides = decides

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.account.client("codepipeline"), self.site.pipeline)

    @cached_property
    def records(self) -> Records:
        return Records(self.bucket, self.decides)

    @cached_property
    def decisions(self) -> Decisions:
        return Decisions(self.pipeline, self.records, self.registry.status)

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.account.client("sagemaker"), self.site, self.bucket)

    @cached_property
    def endpoint(self) -> SageMakerEndpoint:
        return SageMakerEndpoint(self.account, self.site.endpoint, self.bucket)

    @cached_property
    def runs(self) -> Runs:
        reasons = Reasons(self.account, self.stacks, self.names.endpoint_stack)
        return Runs(self.pipeline, self.records, self.decisions, reasons, Logs(self.account.client("logs")))

    @cached_property
    def starter(self) -> Starter:
        return Starter(self.runs, self.decisions, lambda: self.endpoint.live().digest)

    @cached_property
    def decider(self) -> Decider:
        return Decider(self.runs, self.registry)

    @cached_property
    def stopper(self) -> Stopper:
        return Stopper(self.account, self.runs)

    @cached_property
    def versions(self) -> Versions:
        return Versions(self.records, self.decisions, self.registry)

    def appraisal(self, use_case: UseCase) -> Appraisal:
        return Appraisal(use_case, self.bucket, self.records, self.decisions, self.endpoint)
