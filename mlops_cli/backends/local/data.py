"""The dataset of this machine, in the project's .mlops/."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mlops_cli.backends.base import Data
from mlops_cli.backends.local.infra.deploy import set_up
from mlops_cli.core.progress import Report
from mlops_cli.data.metadata import DatasetInfo, load
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.use_case import UseCase

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest


class LocalData(Data):
    def __init__(self, project: Project, use_case: UseCase, lock: ProjectLock) -> None:
        self._project = project
        self._use_case = use_case
        self._lock = lock

    def download(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        from mlops_cli.backends.data_scripts import DataScripts
        from mlops_cli.data.dataset import download

        request = replace(request, runner=DataScripts(self._project, self._use_case))
        with set_up(self._project, self._lock, "download-data"):
            return download(request, self._project.data, report)

    def dataset(self) -> DatasetInfo | None:
        return load(self._project.data)
