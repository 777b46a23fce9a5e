"""A run is one pass through the stages; what is known of it, whichever target it ran on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mlops_cli.errors import ConfigurationError, MlopsError


class Status(str, Enum):
    """Of a run or of one of its stages."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    REUSED = "reused"
    WAITING = "waiting"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"

    @property
    def settled(self) -> bool:
        """Whether a stage in this status has an output that later stages can take."""
        return self in (Status.DONE, Status.REUSED)


CONTINUABLE = (Status.RUNNING, Status.FAILED, Status.INTERRUPTED)


@dataclass
class StageRun:
    """One stage of one run.

    ``key`` is the digest of ``ingredients`` (what the stage was made from); ``output`` the digest of what it
    made, kept under ``artifact``. Times are seconds since the epoch.
    """

    name: str
    status: Status = Status.PENDING
    reason: str = ""
    key: str = ""
    ingredients: dict[str, str] = field(default_factory=dict)
    output: str = ""
    artifact: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    started_at: float | None = None
    finished_at: float | None = None
    log: str = ""
    run_id: str = ""

    @property
    def seconds(self) -> float | None:
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


@dataclass(frozen=True)
class Decision:
    """What a person said of the model of one run, and of which model exactly."""

    run_id: str
    approved: bool
    who: str
    comment: str
    at: float
    key: str
    model_digest: str


@dataclass
class Run:
    """``forced_from`` names the stage from which on nothing older than this run is reused."""

    id: str
    created_at: float
    status: Status
    stages: list[StageRun]
    overrides: dict[str, str] = field(default_factory=dict)
    forced_from: str = ""
    decision: Decision | None = None

    def stage(self, name: str) -> StageRun:
        return next(stage for stage in self.stages if stage.name == name)

    @property
    def current(self) -> StageRun | None:
        """The stage the run stands at: the first one without an output, or None when all are done."""
        return next((stage for stage in self.stages if not stage.status.settled), None)


@dataclass(frozen=True)
class RunRequest:
    """What the user asked of ``mlops run``."""

    overrides: dict[str, str] = field(default_factory=dict)
    from_stage: str = ""
    force: bool = False
    detach: bool = False


def find_run(runs: list[Run], prefix: str) -> Run:
    """The one run whose id starts with ``prefix``; without a prefix the first of ``runs`` (the newest)."""
    if not runs:
        raise MlopsError("There is no run yet.", "Start one: mlops run")
    matches = [run for run in runs if run.id.startswith(prefix)] if prefix else runs[:1]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(run.id for run in matches)
        raise MlopsError(f"The run id {prefix!r} is ambiguous: {ids}.", "Give more of its characters.")
    raise MlopsError(f"There is no run {prefix!r}.", "See which there are: mlops runs")


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """``["train.epochs=3"]`` as a mapping."""
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name.strip() and equals and value.strip()):
            raise ConfigurationError(
                f"--set {pair!r} is not of the form KEY=VALUE.", "For example: --set train.epochs=3"
            )
    return {name.strip(): value.strip() for name, _, value in (pair.partition("=") for pair in pairs)}
