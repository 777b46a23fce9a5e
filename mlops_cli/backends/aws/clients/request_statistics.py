"""Counts of measured requests, from the lines that the model's handlers write to the endpoint's log."""

from __future__ import annotations

import calendar
import time

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.logs import ENDPOINT_LOGS
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.monitoring.statistics import LINE, Counts, parse_log_line, recent_days


def read_counts(client: Client, endpoint: str, digest: str, days: int) -> Counts:
    """Return the counts that the endpoint's instances logged for a model in the last days (UTC)."""
    total = Counts()
    since = calendar.timegm(time.strptime(recent_days(days)[0], "%Y-%m-%d")) * 1000
    try:
        for event in client.pages(
            "filter_log_events",
            "events",
            logGroupName=ENDPOINT_LOGS.format(endpoint),
            filterPattern=f'"{LINE}"',
            startTime=since,
        ):
            line = parse_log_line(event["message"])
            if line and line[0] == digest:
                total.add(line[1])
    except AwsError as error:
        if not error.is_not_found:  # no instance has written a line yet
            raise
    return total
