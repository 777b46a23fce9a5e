"""One build: its phases, its status, and its description."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from aws_simulator.processes import Process

SUCCEEDED, FAILED, STOPPED, TIMED_OUT, IN_PROGRESS = "SUCCEEDED", "FAILED", "STOPPED", "TIMED_OUT", "IN_PROGRESS"


class PhaseError(Exception):
    """A phase has failed, with CodeBuild's status code and message."""

    def __init__(self, code: str, message: str, status: str = FAILED) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True)
class Place:
    """An artifact of a pipeline in its bucket."""

    name: str
    bucket: str
    key: str
    kms_key: str = ""


@dataclass(frozen=True)
class PipelineContext:
    """A pipeline's additions to StartBuild's request: the addresses of its artifacts, the first input first."""

    pipeline: str
    inputs: tuple[Place, ...]
    outputs: tuple[Place, ...]
    primary: str


@dataclass
class Build:
    project: Mapping[str, Any]
    arn_prefix: str
    number: int
    initiator: str
    source_version: str = ""
    pipeline: PipelineContext | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = IN_PROGRESS
    phases: list[dict[str, Any]] = field(default_factory=list)
    exported: list[dict[str, str]] = field(default_factory=list)
    artifacts: list[dict[str, str]] = field(default_factory=list)
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    ended: datetime | None = None
    done: threading.Event = field(default_factory=threading.Event)
    process: Process | None = None
    ending: str = ""
    """STOPPED or TIMED_OUT as soon as the build is to end by that."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def full_id(self) -> str:
        return f"{self.project['name']}:{self.id}"

    @property
    def log_group(self) -> str:
        config = (self.project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
        return str(config.get("groupName") or f"/aws/codebuild/{self.project['name']}")

    @property
    def log_stream(self) -> str:
        config = (self.project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
        return f"{config['streamName']}/{self.id}" if config.get("streamName") else self.id

    @property
    def logs_enabled(self) -> bool:
        config = (self.project.get("logsConfig") or {}).get("cloudWatchLogs") or {}
        return config.get("status", "ENABLED") == "ENABLED"

    @contextmanager
    def phase(self, name: str, always: bool = False) -> Iterator[None]:
        """Run one phase. A PhaseError fails it. If the build must end, it is skipped, unless it runs ``always``."""
        started = datetime.now(timezone.utc)
        record: dict[str, Any] = {"phaseType": name, "startTime": started}
        self.phases.append(record)
        error: PhaseError | None = None
        try:
            if not always:
                self.check()
            yield
        except PhaseError as raised:
            error = raised
        ended = datetime.now(timezone.utc)
        context = [{"statusCode": error.code, "message": str(error)}] if error else [{"statusCode": "", "message": ""}]
        record["phaseStatus"] = error.status if error else SUCCEEDED
        record.update(endTime=ended, durationInSeconds=int((ended - started).total_seconds()), contexts=context)
        if error:
            raise error

    def check(self) -> None:
        """Raise if the build was stopped or its time limit is exceeded."""
        if self.ending == STOPPED:
            raise PhaseError("", "", STOPPED)
        if self.ending == TIMED_OUT:
            raise PhaseError("BUILD_TIMED_OUT", "Build has timed out. ", TIMED_OUT)

    def end(self, how: str) -> None:
        """End early, as STOPPED or TIMED_OUT."""
        with self.lock:
            self.ending = self.ending or how
            if self.process:
                self.process.kill()

    def completed(self, status: str) -> None:
        self.phases.append({"phaseType": "COMPLETED", "startTime": datetime.now(timezone.utc)})
        self.status, self.ended = status, datetime.now(timezone.utc)
        self.done.set()

    def described(self) -> dict[str, Any]:
        group, stream = self.log_group, self.log_stream
        region, account = self.arn_prefix.split(":")[3:5]
        logs: dict[str, Any] = {"cloudWatchLogs": {"status": "ENABLED" if self.logs_enabled else "DISABLED"}}
        if self.logs_enabled:
            arn = f"arn:aws:logs:{region}:{account}:log-group:{group}:log-stream:{stream}"
            console = f"https://console.aws.amazon.com/cloudwatch/home?region={region}"
            link = f"{console}#logsV2:log-groups/log-group/{group}/log-events/{stream}"
            logs.update(groupName=group, streamName=stream, cloudWatchLogsArn=arn, deepLink=link)
        answer: dict[str, Any] = {
            "id": self.full_id,
            "arn": f"{self.arn_prefix}:build/{self.full_id}",
            "buildNumber": self.number,
            "startTime": self.started,
            "currentPhase": self.phases[-1]["phaseType"] if self.phases else "SUBMITTED",
            "buildStatus": self.status,
            "projectName": self.project["name"],
            "phases": [dict(phase) for phase in self.phases],
            "source": self.project["source"],
            "cache": {"type": "NO_CACHE"},
            "environment": self.project["environment"],
            "serviceRole": self.project["serviceRole"],
            "logs": logs,
            "timeoutInMinutes": self.project["timeoutInMinutes"],
            "queuedTimeoutInMinutes": self.project["queuedTimeoutInMinutes"],
            "buildComplete": self.done.is_set(),
            "initiator": self.initiator,
            "exportedEnvironmentVariables": self.exported,
        }
        if self.source_version:
            answer.update(sourceVersion=self.source_version, resolvedSourceVersion=self.source_version)
        if self.artifacts:
            answer["artifacts"] = self.artifacts[0]
        if self.ended:
            answer["endTime"] = self.ended
        return answer
