"""Pipelines, their stages, executions and actions. They are changed only while the service's lock is held."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

IN_PROGRESS, SUCCEEDED, FAILED, ABANDONED = "InProgress", "Succeeded", "Failed", "Abandoned"
STOPPING, STOPPED, SUPERSEDED = "Stopping", "Stopped", "Superseded"
ENDED = (SUCCEEDED, FAILED, STOPPED, SUPERSEDED)


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass(frozen=True)
class Artifact:
    """A zip in the artifact bucket, encrypted with the store's KMS key if it has one."""

    name: str
    bucket: str
    key: str
    kms_key: str = ""


@dataclass
class Action:
    """One execution of an action."""

    declaration: Mapping[str, Any]
    stage: str
    execution: Execution
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = IN_PROGRESS
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    configuration: dict[str, str] = field(default_factory=dict)
    """Resolved."""
    inputs: list[Artifact] = field(default_factory=list)
    outputs: list[Artifact] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    external_id: str = ""
    external_url: str = ""
    log_stream: str = ""
    error: tuple[str, str] | None = None
    """Code and message."""
    token: str = ""
    """Of an approval."""
    updated_by: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    """Nobody waits for it any more."""

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    @property
    def order(self) -> int:
        return int(self.declaration.get("runOrder", 1))


@dataclass
class Execution:
    pipeline: Pipeline
    declaration: Mapping[str, Any]
    trigger: tuple[str, str]
    variables: dict[str, str]
    revisions: dict[str, tuple[str, str]] = field(default_factory=dict)
    """By source action: the type and value of the revision that was asked for."""
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = IN_PROGRESS
    summary: str = ""
    kind: str = "STANDARD"
    rollback_of: str = ""
    started: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stop_reason: str | None = None
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    """By source action: revisionId, revisionSummary, revisionUrl of what it fetched."""
    namespaces: dict[str, dict[str, str]] = field(default_factory=dict)
    actions: list[Action] = field(default_factory=list)
    attempts: dict[str, list[Action]] = field(default_factory=dict)
    """By stage: the actions that count in the present attempt, those kept from the one before among them."""
    passed: set[str] = field(default_factory=set)
    """The stages that it has succeeded in."""

    @property
    def stages(self) -> list[Mapping[str, Any]]:
        return list(self.declaration["stages"])

    @property
    def is_outdated(self) -> bool:
        """True if the pipeline was changed since: the execution cannot continue, and nobody can decide about it."""
        return bool(self.declaration["version"] != self.pipeline.version)

    def latest(self, stage: str) -> dict[str, Action]:
        """Return the execution of each action in the present attempt at a stage."""
        return {action.name: action for action in self.attempts.get(stage, [])}

    def became(self, status: str) -> None:
        self.status, self.updated = status, now()


@dataclass
class Stage:
    name: str
    holder: Execution | None = None
    """Who is inside: a stage takes one at a time."""
    waiting: list[Execution] = field(default_factory=list)
    latest: Execution | None = None
    latest_status: str = ""
    enabled: bool = True
    reason: str = ""
    changed_by: str = ""
    changed: datetime | None = None
    actions: dict[str, Action] = field(default_factory=dict)
    """The last execution of each action, in whichever execution of the pipeline."""
    retries: int = 0


@dataclass
class Pipeline:
    declaration: dict[str, Any]
    account: str
    region: str
    tags: dict[str, str] = field(default_factory=dict)
    version: int = 1
    versions: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    stages: dict[str, Stage] = field(default_factory=dict)
    executions: dict[str, Execution] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Execution ids by clientRequestToken."""

    @property
    def name(self) -> str:
        return str(self.declaration["name"])

    @property
    def arn(self) -> str:
        return f"arn:aws:codepipeline:{self.region}:{self.account}:{self.name}"

    @property
    def mode(self) -> str:
        return str(self.declaration.get("executionMode", "SUPERSEDED"))

    def restructure(self) -> None:
        """Set the stages as declared. A stage that stays keeps its state."""
        names = [stage["name"] for stage in self.declaration["stages"]]
        self.stages = {name: self.stages.get(name, Stage(name)) for name in names}
