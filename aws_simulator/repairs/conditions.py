"""S3: a write carries the condition key s3:if-none-match when its request has that header.

Source: Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets".
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

HEADER = "if-none-match"


def install() -> None:
    original = iam_actions.s3_service_context

    def context(action: str, query: Any, path: str = "", headers: Any = None) -> dict[str, Any]:
        context = original(action, query, path, headers)
        lower_headers = {name.lower(): value for name, value in (headers or {}).items()}
        if action == "s3:PutObject" and HEADER in lower_headers:
            context[f"s3:{HEADER}"] = lower_headers[HEADER]
        return context

    iam_actions.s3_service_context = context
