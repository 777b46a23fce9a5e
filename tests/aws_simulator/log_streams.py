"""CloudWatch Logs asks for a permission on a stream where the action is on a stream; ministack on its group always.

Which actions these are: "Actions, resources, and condition keys for Amazon CloudWatch Logs".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ministack.core import iam_actions

if TYPE_CHECKING:
    from .simulator import Simulator

ON_A_STREAM = ("CreateLogStream", "DeleteLogStream", "GetLogEvents", "PutLogEvents")


def register(_: Simulator) -> None:
    on_the_group = iam_actions.extract_resource_arn

    def on_the_stream(service: str, method: str, path: str, headers: Any, body: bytes, *more: Any) -> str:
        arn = str(on_the_group(service, method, path, headers, body, *more))
        if service == "logs" and headers.get("x-amz-target", "").endswith(tuple(f".{name}" for name in ON_A_STREAM)):
            return f"{arn}:log-stream:{json.loads(body).get('logStreamName', '')}"
        return arn

    iam_actions.extract_resource_arn = on_the_stream
