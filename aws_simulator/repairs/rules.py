"""EventBridge's ListRules: a rule's ``CreatedBy`` is in the answer of DescribeRule alone."""

from __future__ import annotations

import json
from typing import Any

from ministack import app

LISTING = "AWSEvents.ListRules"


def install() -> None:
    answer = app.SERVICE_HANDLERS["events"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        status, answered, content = await answer(method, path, headers, body, query)
        if headers.get("x-amz-target") == LISTING and status == 200:
            listed = json.loads(content)
            listed["Rules"] = [{key: rule[key] for key in rule if key != "CreatedBy"} for rule in listed["Rules"]]
            content = json.dumps(listed).encode()
        return status, answered, content

    app.SERVICE_HANDLERS["events"] = handle
