"""The dataset on AWS: prepared on this machine as for the local target, then uploaded and verified."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.deployed_project import DeployedProject
from mlops_cli.backends.aws.infra import dataset, replaced_data
from mlops_cli.backends.base import Data
from mlops_cli.core.progress import Report, ResourceEvent
from mlops_cli.core.stages import PREPARATION
from mlops_cli.data.metadata import JSON_NAME, DatasetInfo, dataset_info_from
from mlops_cli.data.tables.shards import split
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.state_dir import hold_state_dir

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest


class AwsData(Data):
    def __init__(self, deployed: DeployedProject) -> None:
        self._deployed = deployed

    def download(self, request: DataRequest, report: Report) -> tuple[DatasetInfo, bool]:
        """Upload the dataset, and create the bucket if needed. The bool is True if anything changed.

        For a job on several instances, upload it a second time, split into several files.
        """
        from mlops_cli.backends.data_scripts import DataScripts
        from mlops_cli.data.dataset import download, is_current

        deployed, project = self._deployed, self._deployed.project
        request = replace(request, runner=DataScripts(project, deployed.use_case))
        request.validate()
        machines = deployed.use_case.machines.of(PREPARATION).instance_count
        with hold_state_dir(project, ProjectLock(project.state / "lock"), "download-data"):
            deployed.require_owner()
            bucket = deployed.infra_deployer.existing_bucket()
            existing = dataset.metadata_of(bucket) if bucket else None
            is_uploaded = bucket and existing and is_current(request, request.key(), existing)
            if bucket and existing and is_uploaded and dataset.has_shards(bucket, existing, machines):
                return dataset_info_from(project.data, existing), False
            downloaded, _ = download(request, project.data, report)
            bucket = bucket or deployed.infra_deployer.ensure_storage(_with_progress(report))
            return downloaded, _send(downloaded, bucket, machines, report)

    def dataset(self) -> DatasetInfo | None:
        bucket = self._deployed.infra_deployer.existing_bucket()
        return dataset.load(bucket, self._deployed.project.data) if bucket else None


def _send(downloaded: DatasetInfo, bucket: Bucket, machines: int, report: Report) -> bool:
    """Upload the data, then the metadata: if the upload is killed, there is no dataset rather than a wrong one.

    The data of an earlier dataset stay as long as a job may read them.
    """
    folder = _folder(downloaded, machines)
    replaced_data.unmark(bucket, folder)
    if downloaded.files:
        sent = _send_files(downloaded, bucket, report)
    else:
        sent = bucket.upload(downloaded.path, dataset.TABLE, report, downloaded.sha256)
        if not dataset.has_shards(bucket, asdict(downloaded), machines):
            _send_shards(downloaded, bucket, machines, report)
            sent = True
    metadata_sent = bucket.upload(downloaded.path.with_name(JSON_NAME), dataset.METADATA)
    replaced_data.remove_replaced(bucket, folder)
    return sent or metadata_sent


def _folder(downloaded: DatasetInfo, machines: int) -> str:
    """Return the dataset's folder in the bucket; "" for a table, which is one file."""
    if downloaded.files:
        return dataset.data_prefix(asdict(downloaded))
    return "" if machines == 1 else dataset.shards_folder(downloaded.sha256, machines)


def _send_files(downloaded: DatasetInfo, bucket: Bucket, report: Report) -> bool:
    """Upload the files of a dataset without a schema. Return False if all of them exist already."""
    prefix = dataset.data_prefix(asdict(downloaded))
    sizes = {item.key.removeprefix(prefix): item.size for item in bucket.list_objects(prefix)}
    paths = {path.relative_to(downloaded.path).as_posix(): path for path in sorted(downloaded.path.rglob("*"))}
    missing = [name for name, path in paths.items() if path.is_file() and sizes.get(name) != path.stat().st_size]
    for number, name in enumerate(missing, 1):
        bucket.upload(paths[name], prefix + name)
        report("upload", number, len(missing), "files")
    return bool(missing)


def _send_shards(downloaded: DatasetInfo, bucket: Bucket, machines: int, report: Report) -> None:
    """Upload a table in parts, for this number of instances."""
    with tempfile.TemporaryDirectory(dir=downloaded.path.parent) as folder:
        for shard in split(downloaded.path, dataset.shard_count(downloaded.bytes, machines), Path(folder)):
            bucket.upload(shard, dataset.shards_folder(downloaded.sha256, machines) + shard.name, report)


def _with_progress(report: Report) -> Any:
    """Return a Watch that also counts the completed resources."""
    ended: set[str] = set()

    def watch(event: ResourceEvent) -> None:
        if event.ended:
            ended.add(event.name)
        report("make the bucket", len(ended), None, "resources")

    return watch
