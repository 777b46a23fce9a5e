"""S3: a write carries the condition key s3:if-none-match when its request has that header.

Source: Amazon S3 User Guide, "Enforce conditional writes on Amazon S3 buckets".
"""

from __future__ import annotations

from typing import Any

from ministack.core import iam_actions

HEADER = "if-none-match"


def install() -> None:
    known = iam_actions.s3_service_context

    def context(action: str, query: Any, path: str = "", headers: Any = None) -> dict[str, Any]:
        found = known(action, query, path, headers)
        given = {name.lower(): value for name, value in (headers or {}).items()}
        if action == "s3:PutObject" and HEADER in given:
            found[f"s3:{HEADER}"] = given[HEADER]
        return found

    iam_actions.s3_service_context = context
