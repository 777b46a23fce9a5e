"""CloudWatch Logs: IAM checks …:log-group:GROUP:log-stream:STREAM, with an empty stream if there is none.

ministack checks …:log-group:GROUP, so a policy that is right on AWS fails here, and the reverse. AWS names the checked
resource in its errors: "logs:CreateLogStream on resource: …:log-group:/aws/codebuild/p:log-stream:ID",
"logs:DescribeLogStreams on resource: …:log-group:g:log-stream:", "logs:DescribeLogGroups on …:log-group::log-stream:".
"""

from __future__ import annotations

import json
from typing import Any

from ministack.core import iam_actions

# The tagging calls name a resource by its ARN. Only for them IAM checks this ARN unchanged.
TAGGING = ("TagResource", "UntagResource", "ListTagsForResource")


def install() -> None:
    extract = iam_actions.extract_resource_arn

    def extracted(service: str, method: str, path: str, headers: dict[str, str], body: bytes, *more: Any) -> Any:
        extracted = extract(service, method, path, headers, body, *more)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if service != "logs" or action in TAGGING or ":log-stream:" in extracted:
            return extracted
        request = json.loads(body or b"{}")
        group = extracted if extracted != "*" else _all_groups(request, *more)
        return f"{group}:log-stream:{request.get('logStreamName', '')}"

    iam_actions.extract_resource_arn = extracted


def _all_groups(request: dict[str, Any], _: Any, region: str, account: str) -> str:
    """DescribeLogGroups and similar operations name no group; logGroupIdentifier may be a name or an ARN."""
    name = str(request.get("logGroupIdentifier") or "")
    return name.removesuffix(":*") if name.startswith("arn:") else f"arn:aws:logs:{region}:{account}:log-group:{name}"
