"""The format of a project's records in the bucket, in a marker: deploy-infra writes it first, cleanup removes it last.

No role of the templates can write the marker.
"""

from __future__ import annotations

from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.state_format import other_format_error

FORMAT = 1
MARKER = "format.json"
RECORDS = ("records/", "runs/", "decisions/")


def check_format(bucket: Bucket) -> None:
    """Raise MlopsError for records of another format. Without a marker, the format is unknown."""
    actual = _format(bucket)
    if actual is None and any(True for folder in RECORDS for _ in bucket.list_objects(folder)):
        actual = "unknown"
    if actual not in (None, FORMAT):
        raise other_format_error(bucket.uri(), actual, FORMAT)


def write_format(bucket: Bucket) -> None:
    """Write the marker if it is missing."""
    if _format(bucket) is None:
        bucket.put_json(MARKER, {"format": FORMAT})


def _format(bucket: Bucket) -> object:
    try:
        document = bucket.get_json(MARKER)
    except ValueError:
        return "unknown"
    if document is None:
        return None
    return document.get("format", "unknown") if isinstance(document, dict) else "unknown"
