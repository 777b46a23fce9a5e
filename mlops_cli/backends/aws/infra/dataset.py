"""The dataset in the bucket, as stages and commands read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.data.metadata import CSV_NAME, JSON_NAME, DatasetInfo, dataset_info_from
from mlops_cli.errors import MlopsError

FOLDER = "data/"
METADATA, TABLE = FOLDER + JSON_NAME, FOLDER + CSV_NAME
SHARDS = f"{FOLDER}shards-"
FILES = f"{FOLDER}files-"
MAX_SHARD_BYTES = 256 << 20  # an instance keeps a whole file in memory


def load(bucket: Bucket, folder: Path) -> DatasetInfo | None:
    """Return the dataset in the bucket; None if it is missing or incomplete. ``folder``: the place for a local copy."""
    metadata = metadata_of(bucket)
    return dataset_info_from(folder, metadata) if metadata else None


def metadata_of(bucket: Bucket) -> dict[str, Any] | None:
    """Return the metadata if it describes exactly the data in the bucket."""
    metadata = bucket.get_json(METADATA)
    if isinstance(metadata, dict) and metadata.get("files"):
        return dict(metadata) if has_files(bucket, metadata) else None
    data = bucket.metadata(TABLE) if isinstance(metadata, dict) else None
    if data is None or data.sha256 != metadata.get("sha256"):
        return None
    return dict(metadata)


def data_prefix(metadata: Mapping[str, Any]) -> str:
    """Return the key prefix of the data with this metadata: for files, a folder that is never changed.

    A table has a name of its own, because its parts for several instances and the files of another dataset lie beside
    it.
    """
    return f"{FILES}{metadata['sha256'][:16]}/" if metadata.get("files") else TABLE


def has_files(bucket: Bucket, metadata: Mapping[str, Any]) -> bool:
    """Return True if all files of a dataset without a schema are in the bucket."""
    sizes = [item.size for item in bucket.list_objects(data_prefix(metadata))]
    return (len(sizes), sum(sizes)) == (metadata["files"], metadata["bytes"])


def shards_folder(sha256: str, machines: int) -> str:
    return f"{SHARDS}{sha256[:16]}-{machines}/"


def dataset_prefix(bucket: Bucket, metadata: Mapping[str, Any], machines: int) -> str:
    """Return the key prefix for a job on this number of instances. Raise MlopsError if the table is not split."""
    if machines == 1 or metadata.get("files"):
        return data_prefix(metadata)
    if not has_shards(bucket, metadata, machines):
        raise MlopsError(
            f"[aws.preprocess] has {machines} instances, but the dataset in the bucket is not in as many files.",
            "Upload it again: mlops download-data",
        )
    return shards_folder(metadata["sha256"], machines)


def has_shards(bucket: Bucket, metadata: Mapping[str, Any], machines: int) -> bool:
    """Return True if the data are split for this number of instances, or need no split."""
    if machines == 1 or metadata.get("files"):
        return True
    shards = bucket.list_objects(shards_folder(metadata["sha256"], machines))
    return sum(1 for _ in shards) == shard_count(metadata["bytes"], machines)


def shard_count(size: int, machines: int) -> int:
    """Return the number of files: the same for each instance, and none is larger than MAX_SHARD_BYTES."""
    return machines * max(1, -(-size // (machines * MAX_SHARD_BYTES)))
