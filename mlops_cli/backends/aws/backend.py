"""The aws target: stacks, pipeline, jobs and endpoint in one account and region."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from mlops_cli.backends.aws import dataset
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.names import Names
from mlops_cli.backends.aws.provision import Provisioner
from mlops_cli.backends.aws.stacks import Stacks
from mlops_cli.backends.base import Answer, Backend, Endpoint, GateReport
from mlops_cli.config import Settings
from mlops_cli.data.manifest import Dataset
from mlops_cli.plans import Plan
from mlops_cli.progress import Report, Watch, unwatched
from mlops_cli.project import Project
from mlops_cli.runs import Run, RunRequest
from mlops_cli.usecase import UseCase

if TYPE_CHECKING:
    from mlops_cli.data.request import Request
    from mlops_cli.evidence import Evidence
    from mlops_cli.lifecycle import RunView


class AwsBackend(Backend):
    target = "aws"

    def __init__(self, project: Project, use_case: UseCase, settings: Settings) -> None:
        self.project = project
        self.use_case = use_case
        self.settings = settings
        self.account = Account(settings)
        self.names = Names(use_case.name, settings["STAGE"])

    @cached_property
    def stacks(self) -> Stacks:
        return Stacks(self.account, self.names)

    @cached_property
    def facts(self) -> dict[str, str]:
        """The pipeline stack's outputs; raises ConfigurationError when there is no such stack yet."""
        return self.stacks.required(self.names.pipeline_stack)

    @cached_property
    def bucket(self) -> Bucket:
        """The project's part of the data bucket; raises ConfigurationError when there is no storage stack yet."""
        return self.provisioner.storage_bucket()

    @cached_property
    def provisioner(self) -> Provisioner:
        return Provisioner(self.project, self.use_case, self.settings, self.account, self.names)

    def place(self) -> str:
        return str(self.account.identity)

    def plan_provision(self, watch: Watch = unwatched) -> Plan:
        return self.provisioner.plan(watch)

    def provision(self, watch: Watch = unwatched) -> None:
        self.provisioner.carry_out(watch)

    def forget_plan(self) -> None:
        self.provisioner.forget()

    def is_provisioned(self) -> bool:
        return self.stacks.outputs(self.names.pipeline_stack) is not None

    def put_data(self, request: Request, report: Report) -> tuple[Dataset, bool]:
        return dataset.put(request, self.project, self.provisioner, report)

    def dataset(self) -> Dataset | None:
        bucket = self.provisioner.existing_bucket()
        return dataset.load(bucket, self.project.data) if bucket else None

    def plan_teardown(self, keep_data: bool) -> Plan:
        raise NotImplementedError

    def teardown(self, keep_data: bool, watch: Watch = unwatched) -> Plan:
        raise NotImplementedError

    def start_run(self, request: RunRequest, view: RunView) -> tuple[Run, bool]:
        raise NotImplementedError

    def get_run(self, prefix: str = "") -> Run:
        raise NotImplementedError

    def list_runs(self) -> list[Run]:
        raise NotImplementedError

    def follow(self, run: Run, view: RunView) -> Run:
        raise NotImplementedError

    def run_stage(self, run_id: str, stage: str, view: RunView) -> Run:
        raise NotImplementedError

    def read_log(self, run: Run, stage: str, follow: bool) -> Iterator[str]:
        raise NotImplementedError

    def evidence(self, run: Run) -> Evidence:
        raise NotImplementedError

    def check_decidable(self, run: Run) -> None:
        raise NotImplementedError

    def decide(self, run: Run, approved: bool, comment: str, view: RunView) -> Run:
        raise NotImplementedError

    def endpoint(self) -> Endpoint:
        raise NotImplementedError

    def invoke(self, body: bytes, content_type: str) -> Answer:
        raise NotImplementedError

    def run_gate(self) -> GateReport:
        raise NotImplementedError
