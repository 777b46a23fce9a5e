"""The dataset on AWS: prepared on this machine as for the local target, then uploaded and verified."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.deploy import InfraDeployer
from mlops_cli.core.progress import Report, ResourceEvent
from mlops_cli.data.metadata import CSV_NAME, JSON_NAME, DatasetInfo, dataset_info_from
from mlops_cli.data.shards import split
from mlops_cli.errors import MlopsError
from mlops_cli.processes.project_lock import ProjectLock
from mlops_cli.project.paths import Project
from mlops_cli.project.state_dir import hold_state_dir

if TYPE_CHECKING:
    from mlops_cli.data.request import DataRequest

FOLDER = "data/"
METADATA = FOLDER + JSON_NAME
SHARDS = f"{FOLDER}shards-"


def upload(
    request: DataRequest, project: Project, infra_deployer: InfraDeployer, machines: int, report: Report
) -> tuple[DatasetInfo, bool]:
    """Upload the dataset into the bucket, which is created if missing; the bool is True if anything changed.

    For a job of several ``machines``, upload it a second time, split into as many files.
    """
    from mlops_cli.data.dataset import download

    request.validate()
    with hold_state_dir(project, ProjectLock(project.state / "lock"), "download-data"):
        bucket = infra_deployer.existing_bucket()
        existing = _download_whole(bucket) if bucket else None
        is_there = bucket and existing and existing.get("request") == request.key() and not request.refresh
        if bucket and existing and is_there and has_shards(bucket, existing["sha256"], machines):
            return dataset_info_from(project.data, existing), False
        dataset, _ = download(request, project.data, report)
        bucket = bucket or infra_deployer.ensure_storage(_with_progress(report))
        return dataset, _send(dataset, bucket, machines, report)


def load(bucket: Bucket, folder: Path) -> DatasetInfo | None:
    """Return the dataset in the bucket, None if it is missing or incomplete; ``folder`` would hold its copy."""
    metadata = _download_whole(bucket)
    return dataset_info_from(folder, metadata) if metadata else None


def _download_whole(bucket: Bucket) -> dict[str, Any] | None:
    """Return the metadata if the data in the bucket are exactly those that it describes."""
    metadata = bucket.get_json(METADATA)
    data = bucket.metadata(FOLDER + CSV_NAME) if isinstance(metadata, dict) else None
    if data is None or data.sha256 != metadata.get("sha256"):
        return None
    return dict(metadata)


def shards_folder(sha256: str, machines: int) -> str:
    return f"{SHARDS}{sha256[:16]}-{machines}/"


def dataset_prefix(bucket: Bucket, sha256: str, machines: int) -> str:
    """Return the folder for a job of so many machines; raise MlopsError if the data are not split for them."""
    if machines == 1:
        return FOLDER
    if not has_shards(bucket, sha256, machines):
        raise MlopsError(
            f"[aws.preprocess] has {machines} instances, but the dataset in the bucket is not in as many files.",
            "Upload it again: mlops download-data",
        )
    return shards_folder(sha256, machines)


def has_shards(bucket: Bucket, sha256: str, machines: int) -> bool:
    """Return True if the data are split into so many files, or if no split is needed."""
    return machines == 1 or sum(1 for _ in bucket.list_objects(shards_folder(sha256, machines))) == machines


def _send(dataset: DatasetInfo, bucket: Bucket, machines: int, report: Report) -> bool:
    """Upload the data, the metadata last: after a kill in between there is no dataset, never a wrong one."""
    sent = bucket.upload(dataset.path, FOLDER + CSV_NAME, report, dataset.sha256)
    if not has_shards(bucket, dataset.sha256, machines):
        _send_shards(dataset, bucket, machines, report)
        sent = True
    metadata_sent = bucket.upload(dataset.path.with_name(JSON_NAME), METADATA)
    return sent or metadata_sent


def _send_shards(dataset: DatasetInfo, bucket: Bucket, machines: int, report: Report) -> None:
    """Replace the shards of other data or of another number of machines."""
    bucket.delete(SHARDS)
    with tempfile.TemporaryDirectory(dir=dataset.path.parent) as folder:
        for shard in split(dataset.path, machines, Path(folder)):
            bucket.upload(shard, shards_folder(dataset.sha256, machines) + shard.name, report)


def _with_progress(report: Report) -> Any:
    """Return a Watch that counts completed resources."""
    ended: set[str] = set()

    def watch(event: ResourceEvent) -> None:
        if event.ended:
            ended.add(event.name)
        report("make the bucket", len(ended), None, "resources")

    return watch
