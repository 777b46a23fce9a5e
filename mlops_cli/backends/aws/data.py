"""The dataset of a project on AWS, in its bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.infra import dataset
from mlops_cli.backends.base import Data
from mlops_cli.core.progress import Report
from mlops_cli.data.metadata import DatasetInfo

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest


class AwsData(Data):
    def __init__(self, deployed: DeployedProject) -> None:
        self._deployed = deployed

    def download(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        machines = self._deployed.use_case.machines.preprocess.instance_count
        return dataset.upload(request, self._deployed.project, self._deployed.infra_deployer, machines, report)

    def dataset(self) -> DatasetInfo | None:
        bucket = self._deployed.infra_deployer.existing_bucket()
        return dataset.load(bucket, self._deployed.project.data) if bucket else None
