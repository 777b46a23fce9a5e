"""S3: a write has the condition keys of its headers if-none-match and of its KMS key.

Sources: Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets"; the service authorization reference of
S3. The parts of an upload have no such header; the header of the upload's first request counts.
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

HEADER = "if-none-match"
KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def install() -> None:
    original = iam_actions.s3_service_context
    keys: dict[str, str] = {}

    def context(action: str, query: Any, path: str = "", headers: Any = None) -> dict[str, Any]:
        context = original(action, query, path, headers)
        lower_headers = {name.lower(): value for name, value in (headers or {}).items()}
        if action == "s3:PutObject" and HEADER in lower_headers:
            context[f"s3:{HEADER}"] = lower_headers[HEADER]
        if action == "s3:PutObject":
            if "uploadId" not in query:
                keys[path] = lower_headers.get(KEY, "")
            if keys.get(path):
                context[f"s3:{KEY}"] = keys[path]
        return context

    iam_actions.s3_service_context = context
