"""A log stream in CloudWatch Logs, written with the credentials of a role, as by SageMaker."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from typing import Any

from botocore.exceptions import ClientError

EVERY_SECONDS = 0.05
AT_ONCE = 500


class LogStream:
    """Collects lines and sends them in its own thread. If the role may not write, they are lost, as on AWS."""

    def __init__(self, logs: Any, group: str, stream: str) -> None:
        self._logs = logs
        self._names = {"logGroupName": group, "logStreamName": stream}
        self._lines: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def __call__(self, line: str) -> None:
        self._lines.put((int(time.time() * 1000), line))

    def close(self) -> None:
        """Wait until everything is sent."""
        self._ending.set()
        self._thread.join()

    def _send(self) -> None:
        try:
            self._create()
            ended = False
            while not ended:
                ended = self._ending.wait(EVERY_SECONDS)
                while events := self._collected():
                    self._logs.put_log_events(**self._names, logEvents=events)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDeniedException":
                raise

    def _create(self) -> None:
        group, stream = self._names["logGroupName"], self._names["logStreamName"]
        try:
            self._logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=stream, limit=1)
        except self._logs.exceptions.ResourceNotFoundException:
            with contextlib.suppress(self._logs.exceptions.ResourceAlreadyExistsException):
                self._logs.create_log_group(logGroupName=group)
        self._logs.create_log_stream(**self._names)

    def _collected(self) -> list[dict[str, Any]]:
        streams: list[dict[str, Any]] = []
        while len(streams) < AT_ONCE and not self._lines.empty():
            moment, line = self._lines.get()
            streams.append({"timestamp": moment, "message": line or " "})
        return streams
