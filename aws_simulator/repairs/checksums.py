"""S3: a copy's checksum covers the whole object, and PutObject returns the checksum that it has stored."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from ministack import app
from ministack.services import s3

ASKED = "x-amz-checksum-algorithm"
COMPUTE = "x-amz-sdk-checksum-algorithm"


def install() -> None:
    answer = app.SERVICE_HANDLERS["s3"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        if method == "PUT" and headers.get("x-amz-copy-source") and "partNumber" not in query:
            algorithm = headers.get(ASKED) or _composite(headers["x-amz-copy-source"])
            if algorithm:
                headers = {**headers, COMPUTE: algorithm}
        status, answered, content = await answer(method, path, headers, body, query)
        if method == "PUT" and status == 200 and not query and not headers.get("x-amz-copy-source"):
            answered.update(_stored(path))
        return status, answered, content

    app.SERVICE_HANDLERS["s3"] = handle


def _object(path: str) -> dict[str, Any]:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    return dict((s3._buckets.get(bucket) or {}).get("objects", {}).get(key) or {})


def _stored(path: str) -> dict[str, str]:
    checksums = _object(path).get("checksums") or {}
    return {f"x-amz-checksum-{name.lower()}": value for name, value in checksums.items()}


def _composite(source: str) -> str:
    """Return the algorithm of a source that was uploaded in parts.

    The checksum of such a source is a checksum of checksums; that of its copy is not.
    """
    checksums = _object(source.partition("?")[0]).get("checksums") or {}
    return next((name for name, value in checksums.items() if "-" in value), "")
