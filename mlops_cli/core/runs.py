"""A run: one pass through the stages, with the same data on every target."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any

from mlops_cli.core import clock
from mlops_cli.core.models.decision import Decision, decision_from
from mlops_cli.core.stages import APPROVAL, DEPLOYMENT, ENDPOINT_GATE, PREPARATION, STAGES, TRAINING, Stage, position
from mlops_cli.errors import EXIT_REJECTED, ConfigurationError, MlopsError


class Status(str, Enum):
    """The status of a run or of one of its stages."""

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
        """True if the stage has an output for later stages."""
        return self in (Status.DONE, Status.REUSED)


# The prefix of the reason if a run only waits until an existing approval of its model is sent.
ALREADY_APPROVED = "decided already"
FOR_A_DECISION = "for a decision"
# The prefix of the reason of a training stage that only tried a trained model again.
TRAINED_IN = "trained in run "
CONTINUE = "Fix it, then continue: mlops run"
# A key in the detail of a failed stage: the next command, if it is not CONTINUE.
HINT = "hint"
CONTINUABLE = (Status.RUNNING, Status.FAILED, Status.INTERRUPTED)


@dataclass
class StageRun:
    """One stage of one run.

    ``key``: the digest of ``cache_inputs``. ``output``: the digest of the stage's output, stored at ``artifact``. Times
    are seconds since the epoch.
    """

    name: str
    status: Status = Status.PENDING
    reason: str = ""
    key: str = ""
    cache_inputs: dict[str, str] = field(default_factory=dict)
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


_STAGE_RUN_FIELDS = tuple(attribute.name for attribute in fields(StageRun))


def stage_run_from(values: Mapping[str, Any]) -> StageRun:
    """Return the StageRun of a ``dataclasses.asdict`` document, perhaps of another version of mlops."""
    attributes = {name: values[name] for name in _STAGE_RUN_FIELDS if name in values}
    return StageRun(**{**attributes, "status": Status(values["status"])})


@dataclass
class Run:
    """``forced_from``: from this stage on, nothing older than the run is reused."""

    id: str
    created_at: float
    status: Status
    stages: list[StageRun]
    overrides: dict[str, str] = field(default_factory=dict)
    forced_from: str = ""
    decision: Decision | None = None

    def stage(self, name: str) -> StageRun:
        return next(stage for stage in self.stages if stage.name == name)

    def _role(self, stage: Stage) -> StageRun:
        """Return the stage's record; a pending one if the run has none."""
        return next((record for record in self.stages if record.name == stage.name), StageRun(stage.name))

    @property
    def preparation(self) -> StageRun:
        return self._role(PREPARATION)

    @property
    def training(self) -> StageRun:
        return self._role(TRAINING)

    @property
    def approval(self) -> StageRun:
        return self._role(APPROVAL)

    @property
    def deployment(self) -> StageRun:
        return self._role(DEPLOYMENT)

    @property
    def endpoint_gate(self) -> StageRun:
        return self._role(ENDPOINT_GATE)

    @property
    def is_rollback(self) -> bool:
        return self.decision is not None and self.decision.is_rollback

    @property
    def current(self) -> StageRun | None:
        """The first stage without an output, or None if all have one."""
        return next((stage for stage in self.stages if not stage.status.has_output), None)


def run_from(values: Mapping[str, Any]) -> Run:
    """Return the Run of a ``dataclasses.asdict`` document."""
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
    stages = [StageRun(stage.name, run_id=run_id) for stage in STAGES]
    return Run(run_id, clock.now(), Status.PENDING, stages, dict(overrides), forced_from)


def copy_earlier_stages(name: str, run: Run, source: Run) -> None:
    """Copy the stages of ``source`` before ``name``, even if their inputs have changed."""
    index = position(name)
    run.stages[:index] = [
        replace(stage, run_id=run.id, status=Status.REUSED, reason=f"as in run {source.id}")
        for stage in source.stages[:index]
    ]


def has_all_before(name: str, run: Run) -> bool:
    """True if a run that begins at the stage ``name`` can copy the earlier stages from this run."""
    return all(stage.status.has_output for stage in run.stages[: position(name)])


def earlier_stages_missing_error(name: str) -> MlopsError:
    before = ", ".join(stage.name for stage in STAGES[: position(name)])
    return MlopsError(f"No run has finished the stages before {name}: {before}.", "Start one: mlops run")


@dataclass(frozen=True)
class RunRequest:
    """The options of ``mlops run``."""

    overrides: dict[str, str] = field(default_factory=dict)
    from_stage: str = ""
    force: bool = False
    detach: bool = False


def find_run(runs: list[Run], prefix: str) -> Run:
    """Return the run whose id begins with ``prefix``; without a prefix the first (newest) of ``runs``."""
    if not runs:
        raise no_run_error()
    matches = [run for run in runs if run.id.startswith(prefix)] if prefix else runs[:1]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(run.id for run in matches)
        raise ConfigurationError(f"The run id {prefix!r} is ambiguous: {ids}.", "Give more of its characters.")
    raise ConfigurationError(f"There is no run {prefix!r}.", "List the runs: mlops runs")


def no_run_error() -> MlopsError:
    return MlopsError("There is no run yet.", "Start one: mlops run")


def set_options(overrides: Mapping[str, str]) -> str:
    """Return the overrides as options of `mlops run`, quoted for a shell."""
    return " ".join(f"--set {shlex.quote(f'{name}={value}')}" for name, value in overrides.items())


def describe_kept_overrides(overrides: Mapping[str, str]) -> str:
    """Return a note on the overrides that a continued run keeps and how to remove them; "" if there are none."""
    if not overrides:
        return ""
    options = set_options(overrides)
    return (
        f"it keeps {options}; another value replaces it, and a run from the first stage on drops it: mlops run --force"
    )


def continue_hint(run: Run) -> str:
    """Return the command that continues a failed run, with the overrides that it keeps."""
    kept = describe_kept_overrides(run.overrides)
    return CONTINUE + (f" ({kept})" if kept else "")


def superseded_error(run: Run, newer: str) -> MlopsError:
    return MlopsError(f"Run {run.id} was superseded by a newer one.", f"Show it: mlops status {newer}".rstrip())


def has_decision(run: Run, approved: bool) -> bool:
    """Return True if the run's model was approved (or rejected) before, in this run or in another one."""
    if not approved:
        return run.status is Status.REJECTED
    is_refused = run.status is Status.SUPERSEDED or (run.decision is not None and not run.decision.approved)
    return run.approval.status.has_output and not is_refused


def overtaken_error(run: Run) -> MlopsError:
    """Return the error for an approved run whose model must not be deployed, or not any more."""
    return MlopsError(
        f"The model of run {run.id} was approved, but it was rejected or replaced by another model since.",
        "See which model is deployed: mlops models. To deploy this one again: mlops rollback --to VERSION",
    )


def not_waiting_error(run: Run) -> MlopsError:
    """Return the error for a decision about a run that does not wait for one, with the next command."""
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
            f"Run {run.id} was already approved by {decision.actor.name}.{going_on}", f"Show it: mlops status {run.id}"
        )
    return MlopsError(
        f"Run {run.id} does not wait for an approval: it is {run.status.value}.",
        "Continue it: mlops run" if run.status in CONTINUABLE else f"Show it: mlops status {run.id}",
    )


def parse_overrides(pairs: list[str]) -> dict[str, str]:
    """Return ``["train.epochs=3"]`` as a mapping. A value is kept as typed and may be empty."""
    for pair in pairs:
        name, equals, _ = pair.partition("=")
        if not (name.strip() and equals):
            raise ConfigurationError(
                f"--set {pair!r} is not of the form KEY=VALUE.", "Write for example: --set train.epochs=3"
            )
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}
