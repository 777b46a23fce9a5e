"""A run is one pass through the stages; what is known of it, whichever target it ran on."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from mlops_cli.core.decision import Decision, decision_from
from mlops_cli.core.stages import STAGES, position
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError


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
    def has_output(self) -> bool:
        """Whether a stage in this status has an output that later stages can take."""
        return self in (Status.DONE, Status.REUSED)


# How the reason of a gate begins that waits only to be told of a decision that holds for its model.
ALREADY_APPROVED = "decided already"
CONTINUE = "Fix it, then continue: mlops run"
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


def stage_run_from(values: Mapping[str, Any]) -> StageRun:
    """A StageRun from the mapping that ``dataclasses.asdict`` made of it, perhaps in another version of mlops."""
    values_known = {
        attribute.name: values[attribute.name] for attribute in fields(StageRun) if attribute.name in values
    }
    return StageRun(**{**values_known, "status": Status(values["status"])})


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
        return next((stage for stage in self.stages if not stage.status.has_output), None)


def run_from(values: Mapping[str, Any]) -> Run:
    """A Run from the mapping that ``dataclasses.asdict`` made of it."""
    return Run(
        id=values["id"],
        created_at=values["created_at"],
        status=Status(values["status"]),
        stages=[stage_run_from(stage) for stage in values["stages"]],
        overrides=values["overrides"],
        forced_from=values["forced_from"],
        decision=decision_from(values["decision"]) if values["decision"] else None,
    )


def new_run(run_id: str, overrides: Mapping[str, str], forced_from: str = "") -> Run:
    """A run in which nothing has happened yet."""
    stages = [StageRun(stage.name, run_id=run_id) for stage in STAGES]
    return Run(run_id, time.time(), Status.PENDING, stages, dict(overrides), forced_from)


def copy_earlier_stages(name: str, run: Run, source: Run) -> None:
    """Take over what ``source`` has before the stage ``name``, whatever has changed since."""
    index = position(name)
    run.stages[:index] = [
        replace(stage, run_id=run.id, status=Status.REUSED, reason=f"as in run {source.id}")
        for stage in source.stages[:index]
    ]


def has_all_before(name: str, run: Run) -> bool:
    """Whether a run could be the source of one that begins at the stage ``name``."""
    return all(stage.status.has_output for stage in run.stages[: position(name)])


def earlier_stages_missing_error(name: str) -> MlopsError:
    before = ", ".join(stage.name for stage in STAGES[: position(name)])
    return MlopsError(f"No run has finished what comes before {name}: {before}.", "Start one: mlops run")


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


def set_options(overrides: Mapping[str, str]) -> str:
    """The overrides as options of `mlops run`, to be pasted into a shell."""
    return " ".join(f"--set {shlex.quote(f'{name}={value}')}" for name, value in overrides.items())


def describe_kept_overrides(overrides: Mapping[str, str]) -> str:
    """What a run that goes on keeps of what was asked of it, and how to drop that; nothing if it keeps nothing."""
    if not overrides:
        return ""
    options = set_options(overrides)
    return (
        f"it keeps {options}; another --set replaces it, and a run from the first stage on drops it: mlops run --force"
    )


def continue_hint(run: Run) -> str:
    """How a failed run goes on, and what it keeps of what was asked of it."""
    kept = describe_kept_overrides(run.overrides)
    return CONTINUE + (f" ({kept})" if kept else "")


def superseded_error(run: Run, newer: str) -> MlopsError:
    return MlopsError(f"Run {run.id} was superseded by a newer one.", f"Look at that: mlops status {newer}".rstrip())


def not_waiting_error(run: Run) -> MlopsError:
    """Why nobody can decide about a run that does not wait for it, and what to do instead."""
    decision = run.decision
    if decision and not decision.approved:
        return MlopsError(
            f"Run {run.id} was rejected {decision.by}.",
            "Start a new one: mlops run",
            EXIT_REJECTED,
        )
    if decision:
        going_on = "" if run.status is Status.DONE else " It has not finished: mlops run continues it."
        return MlopsError(
            f"Run {run.id} was already approved by {decision.actor.name}.{going_on}", f"See it: mlops status {run.id}"
        )
    return MlopsError(
        f"Run {run.id} does not wait for an approval: it is {run.status.value}.",
        "Continue it: mlops run" if run.status in CONTINUABLE else f"See it: mlops status {run.id}",
    )


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """``["train.epochs=3"]`` as a mapping. A value is passed on as it was typed, and may be empty."""
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not (name.strip() and equals):
            raise ConfigurationError(
                f"--set {pair!r} is not of the form KEY=VALUE.", "For example: --set train.epochs=3"
            )
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}
