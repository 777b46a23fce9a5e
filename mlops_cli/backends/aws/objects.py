"""S3 objects of any bucket as a data source, read with the caller's credentials, for every target."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_cli.data.objects import ObjectStore, StoredObject
from mlops_cli.errors import MlopsError

if TYPE_CHECKING:
    from mlops_cli.backends.aws.account import Client
    from mlops_cli.project.settings.values import Settings


class S3Objects(ObjectStore):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _client(self) -> Client:
        from mlops_cli.backends.aws.configured_account import configured_account

        return configured_account(self._settings).client("s3")

    def list_objects(self, bucket: str, prefix: str) -> Iterator[StoredObject]:
        from mlops_cli.backends.aws.errors import AwsError

        try:
            for entry in self._client.pages("list_objects_v2", "Contents", Bucket=bucket, Prefix=prefix):
                yield StoredObject(entry["Key"], entry["Size"], entry["ETag"].strip('"'))
        except AwsError as error:
            if error.code != "NoSuchBucket":
                raise
            raise MlopsError(f"there is no bucket {bucket}", "see which there are: aws s3 ls") from None

    def download(self, bucket: str, key: str, path: Path) -> None:
        self._client.download_file(bucket, key, str(path))
