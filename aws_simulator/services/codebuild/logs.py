"""A build's log stream in CloudWatch Logs, written by the project's role."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

from botocore.exceptions import ClientError

from aws_simulator.services.codebuild.build import Build, PhaseError

EVERY_SECONDS = 0.05
AT_ONCE = 500


class BuildLog:
    """Sends lines in its own thread. Raises PhaseError if the role may not create the stream."""

    def __init__(self, logs: Any, build: Build) -> None:
        self._logs = logs
        self._names = {"logGroupName": build.log_group, "logStreamName": build.log_stream}
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self.hidden: list[str] = []
        """The values of secret variables, which the log has as three stars."""
        self._thread: threading.Thread | None = None
        if build.logs_enabled:
            self._create(build)
            self._thread = threading.Thread(target=self._send, daemon=True)
            self._thread.start()

    def __call__(self, line: str) -> None:
        """Write a line of output."""
        for value in self.hidden:
            line = line.replace(value, "***")
        if self._thread:
            self._lines.put((int(time.time() * 1000), f"{line}\n"))

    def agent(self, line: str) -> None:
        """Write a line of CodeBuild itself."""
        self(f"[Container] {time.strftime('%Y/%m/%d %H:%M:%S', time.gmtime())}.000000 {line}")

    def close(self) -> None:
        self._ending.set()
        if self._thread:
            self._thread.join()

    def _create(self, build: Build) -> None:
        try:
            self._logs.create_log_stream(**self._names)
        except self._logs.exceptions.ResourceNotFoundException:
            self._refused(build, self._logs.create_log_group, logGroupName=self._names["logGroupName"])
            self._refused(build, self._logs.create_log_stream, **self._names)
        except ClientError as error:
            raise _denied(build, error) from error

    @staticmethod
    def _refused(build: Build, act: Any, **names: str) -> None:
        try:
            act(**names)
        except ClientError as error:
            raise _denied(build, error) from error

    def _send(self) -> None:
        ended = False
        while not ended:
            ended = self._ending.wait(EVERY_SECONDS)
            while events := self._collected():
                self._logs.put_log_events(**self._names, logEvents=events)

    def _collected(self) -> list[dict[str, Any]]:
        events = []
        while len(events) < AT_ONCE and not self._lines.empty():
            moment, line = self._lines.get()
            events.append({"timestamp": moment, "message": line})
        return events


def _denied(build: Build, error: ClientError) -> PhaseError:
    arn = f"{build.arn_prefix}:build/{build.full_id}"
    message = (
        f"Service role {build.project['serviceRole']} does not allow AWS CodeBuild to create Amazon CloudWatch Logs "
        f"log streams for build {arn}. Error message: {error.response['Error']['Message']}"
    )
    return PhaseError("ACCESS_DENIED", message)
