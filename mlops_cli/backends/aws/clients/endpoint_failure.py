"""The last exception in an endpoint's log. CloudWatch has a line some seconds after the container has printed it."""

from __future__ import annotations

import time

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.stages.containers.model_trial import last_error
from mlops_cli.plain_text import clipped, log_line

WAIT_SECONDS, LOOK_SECONDS = 10.0, 1.0


def read_failure(client: Client, group: str, since: float, modules: list[str]) -> str:
    """Return the last exception since a time, with its line in one of the package's ``modules``; empty without one."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            events = list(
                client.pages("filter_log_events", "events", logGroupName=group, startTime=int((since - 1) * 1000))
            )
        except AwsError as error:
            if error.is_not_found:  # nothing was ever logged
                return ""
            return f"the log cannot be read: {error.message}"
        lines = [line for event in events for line in str(event["message"]).splitlines()]
        if (reason := last_error(lines, modules)) or time.monotonic() > deadline:
            return clipped(log_line(reason))
        time.sleep(LOOK_SECONDS)
