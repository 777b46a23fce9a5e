"""Dataset folders in the bucket that a newer dataset has replaced. A job may still read them."""

from __future__ import annotations

import time
from collections.abc import Iterator

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.infra.dataset import FILES, FOLDER, SHARDS

# Longer than the longest build and the longest SageMaker job.
KEPT_SECONDS = 7 * 24 * 3600
# An empty object for each replaced folder. S3 stores when it was written.
MARKS = f"{FOLDER}replaced/"


def unmark(bucket: Bucket, folder: str) -> None:
    """Remove the mark of a folder, before its data become the dataset again."""
    if folder:
        bucket.delete(_mark(folder))


def remove_replaced(bucket: Bucket, current: str) -> None:
    """Mark every dataset folder except the current one, and delete folders that were marked long ago.

    If a call is killed, the next call completes its work.
    """
    marked = {item.key: item.modified for item in bucket.list_objects(MARKS)}
    for folder in sorted(set(_folders(bucket)) - {current}):
        since = marked.get(_mark(folder))
        if since is None:
            bucket.put(_mark(folder), b"")
        elif time.time() - since > KEPT_SECONDS:
            bucket.delete(folder)
            bucket.delete(_mark(folder))


def _folders(bucket: Bucket) -> Iterator[str]:
    for prefix in (FILES, SHARDS):
        for item in bucket.list_objects(prefix):
            yield f"{FOLDER}{item.key.removeprefix(FOLDER).split('/')[0]}/"


def _mark(folder: str) -> str:
    return f"{MARKS}{folder.removeprefix(FOLDER).rstrip('/')}"
