"""A role with permissions on certain log streams only. AWS enforces this, ministack does not."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws

STREAMS = "arn:aws:logs:us-east-1:123456789012:log-group:shared:log-stream:ours-*"
EVENTS = [{"timestamp": 1, "message": "x"}]


def test_a_permission_on_streams_is_one_on_these_streams(aws: Aws) -> None:
    aws.client("logs").create_log_group(logGroupName="shared")
    keys = user(aws, "writer", {"Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": STREAMS})
    logs = aws.client("logs", **keys)
    logs.create_log_stream(logGroupName="shared", logStreamName="ours-1")
    logs.put_log_events(logGroupName="shared", logStreamName="ours-1", logEvents=EVENTS)
    for refused in (
        lambda: logs.create_log_stream(logGroupName="shared", logStreamName="theirs"),
        lambda: logs.put_log_events(logGroupName="shared", logStreamName="theirs", logEvents=EVENTS),
        lambda: logs.describe_log_streams(logGroupName="shared"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()
