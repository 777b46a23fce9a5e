"""Everything that works on the runs of one site, made when it is first needed, on either side of the pipeline."""

from __future__ import annotations

from functools import cached_property

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.deciding import Decider
from mlops_cli.backends.aws.decisions import Decisions, evidence_of
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
from mlops_cli.evidence import Evidence
from mlops_cli.runs import Run
from mlops_cli.usecase import UseCase


class Crew:
    def __init__(self, account: Account, site: Site, bucket: Bucket, stacks: Stacks, names: Names) -> None:
        self.account = account
        self.site = site
        self.bucket = bucket
        self.stacks = stacks
        self.names = names

    @cached_property
    def pipeline(self) -> Pipeline:
        return Pipeline(self.account.client("codepipeline"), self.site.pipeline)

    @cached_property
    def records(self) -> Records:
        return Records(self.bucket)

    @cached_property
    def decisions(self) -> Decisions:
        return Decisions(self.pipeline, self.records)

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

    def evidence(self, run: Run, use_case: UseCase) -> Evidence:
        return evidence_of(run, use_case, self.records, self.decisions, self.endpoint)
