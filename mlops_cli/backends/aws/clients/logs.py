"""CloudWatch logs of a build or a job, from the beginning or as they grow.

The address of a log is its group and a prefix of its streams' names, "GROUP:STREAM". A job has one stream for each
instance. A space separates the addresses of logs that follow each other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.plain_text import log_line

# The log groups of builds and endpoints (by name), and of the account's jobs (by kind).
BUILD_LOGS, ENDPOINT_LOGS, JOB_LOGS = "/aws/codebuild/{}", "/aws/sagemaker/Endpoints/{}", "/aws/sagemaker/{}Jobs"
# The end of the project's name for the deciding steps. It logs to the same group as the other project.
DECISIONS = "-decisions"


def build_log(build_id: str) -> str:
    """Return the address of a build's log."""
    project, _, stream = build_id.partition(":")
    return f"{BUILD_LOGS.format(project.removesuffix(DECISIONS))}:{stream}" if stream else ""


class Log:
    """A log, and the position after the last line that was read."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._group, _, self._stream = address.partition(":")
        self._tokens: dict[str, str] = {}

    def read(self) -> Iterator[str]:
        for stream in self._streams():
            yield from self._of_stream(stream)

    def tail(self, count: int) -> list[str]:
        """Return the last lines of a log, without empty ones."""
        lines: list[str] = []
        for stream in self._streams():
            lines += self._end_of_stream(stream, count)
        return lines[-count:]

    def _end_of_stream(self, stream: str, count: int) -> list[str]:
        """Return a stream's last lines. A page may be short or empty although earlier lines exist."""
        lines: list[str] = []
        token = ""
        while len(lines) < count:
            page = self._client.get_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=False,
                limit=count,
                **({"nextToken": token} if token else {}),
            )
            lines = [line for event in page["events"] for line in _lines(event)] + lines
            if page["nextBackwardToken"] == token:
                break
            token = page["nextBackwardToken"]
        return lines

    def _streams(self) -> list[str]:
        try:
            streams = self._client.pages(
                "describe_log_streams", "logStreams", logGroupName=self._group, logStreamNamePrefix=self._stream
            )
            return sorted(stream["logStreamName"] for stream in streams)
        except AwsError as error:
            if error.is_not_found:  # nothing was ever logged
                return []
            raise

    def _of_stream(self, stream: str) -> Iterator[str]:
        """Yield a stream's new lines. The stream ends when the same token is returned; earlier pages may be empty."""
        while True:
            token = self._tokens.get(stream)
            page = self._client.get_log_events(
                logGroupName=self._group,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            for event in page["events"]:
                yield from _lines(event)
            self._tokens[stream] = page["nextForwardToken"]
            if page["nextForwardToken"] == token:
                return


def _lines(event: Mapping[str, Any]) -> list[str]:
    """Return the lines of an event. Of a line that a progress bar has overwritten, return the last version."""
    lines = str(event["message"]).rstrip("\r\n").split("\n")
    return [log_line(line.rstrip("\r").rpartition("\r")[2]) for line in lines]


class Logs:
    """All logs that were read, with their positions."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._known: dict[str, Log] = {}

    def new_lines(self, address: str) -> list[str]:
        """Return the lines that a log has got since the last call."""
        logs = [self._known.setdefault(name, Log(self.client, name)) for name in address.split()]
        return [line for log in logs for line in log.read()]

    def tail(self, address: str, count: int) -> list[str]:
        """Return the last lines, without reading the earlier ones."""
        lines = [line for name in address.split() for line in Log(self.client, name).tail(count)]
        return [line for line in lines if line.strip()][-count:]
