"""Logs in CloudWatch: of a build or a job, from the beginning or as they grow.

A log is named by its group and the beginning of its streams' names, "GROUP:STREAM": a job has one for each machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError

# The end of the name of the project whose steps decide; it logs into the same group as the other one.
DECISIONS = "-decisions"


def build_log(build_id: str) -> str:
    """Where the log of a build lies: its group and its stream."""
    project, _, stream = build_id.partition(":")
    return f"/aws/codebuild/{project.removesuffix(DECISIONS)}:{stream}" if stream else ""


class Log:
    """Remembers what it has given, so that asked again it gives what has been written since."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._group, _, self._stream = address.partition(":")
        self._tokens: dict[str, str] = {}

    def read(self) -> Iterator[str]:
        for stream in self._streams():
            yield from self._of_stream(stream)

    def tail(self, count: int) -> list[str]:
        """The last lines, without reading what comes before."""
        lines: list[str] = []
        for stream in self._streams():
            page = self._client.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=False, limit=count
            )
            lines += [line for event in page["events"] for line in _lines(event)]
        return lines[-count:]

    def _streams(self) -> list[str]:
        try:
            streams = self._client.pages(
                "describe_log_streams", "logStreams", logGroupName=self._group, logStreamNamePrefix=self._stream
            )
            return sorted(stream["logStreamName"] for stream in streams)
        except AwsError as error:
            if error.code == "ResourceNotFoundException":  # nothing was ever logged
                return []
            raise

    def _of_stream(self, stream: str) -> Iterator[str]:
        """The end of a stream is reached when the same token comes back; a page before it may be empty."""
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
    return str(event["message"]).rstrip("\n").splitlines() or [""]


class Logs:
    """Every log that was asked for, each with what was read of it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._known: dict[str, Log] = {}

    def new_lines(self, address: str) -> list[str]:
        """What a log has got since this was called last."""
        if not address:
            return []
        return list(self._known.setdefault(address, Log(self.client, address)).read())

    def tail(self, address: str, count: int) -> list[str]:
        """The last lines of a log, those that say something."""
        lines = Log(self.client, address).tail(count) if address else []
        return [line for line in lines if line.strip()]
