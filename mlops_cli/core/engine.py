"""The engine: go through the stages of a run, reuse unchanged results, stop at the approval, resume.

It decides and records. A StageExecutor runs the stages and stores their records. Resuming needs no extra code: a stage
is finished if its key is on record, in this run or another.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from mlops_cli.core import clock
from mlops_cli.core.cache_inputs import with_reads
from mlops_cli.core.runs import CONTINUE, Run, StageRun, Status, continue_hint
from mlops_cli.core.secrets import hidden, names_secret_value, without_secrets
from mlops_cli.core.stages import STAGES, Stage, position
from mlops_cli.errors import EXIT_ERROR, EXIT_STAGE_FAILED, MlopsError


class StageFailed(MlopsError):
    """A stage without an output. The run keeps the earlier stages, and this stage's ``detail``."""

    def __init__(self, message: str, hint: str, detail: dict[str, Any] | None = None) -> None:
        super().__init__(message, hint, EXIT_STAGE_FAILED)
        self.detail = detail or {}

    def with_note(self, note: str) -> StageFailed:
        """Return the same failure with a note on its consequences."""
        return StageFailed(f"{self.message}\n{note}", self.hint, self.detail)


@dataclass(frozen=True)
class StageResult:
    """The result of a stage: the digest of its output, its location, and details.

    ``status``: WAITING for a person's decision, or RUNNING if another process does the work.
    """

    output: str = ""
    artifact: str = ""
    detail: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.DONE
    read: dict[str, str] = field(default_factory=dict)


class StageExecutor(Protocol):
    """Runs stages and stores their records."""

    def cache_inputs(self, stage: Stage, run: Run) -> dict[str, str]:
        """Return the cache inputs of a stage, by name: everything that its output depends on."""

    def key(self, cache_inputs: dict[str, str]) -> str: ...

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        """Return a finished execution with this key and an existing output, preferably the run's own."""

    def previous(self, stage: Stage) -> StageRun | None:
        """Return the last finished execution of the stage with any key."""

    def execute(self, stage: Stage, run: Run, view: RunView) -> StageResult: ...

    def save(self, run: Run) -> None: ...


class RunView(Protocol):
    """Shows a run to the user."""

    def stage_changed(self, run: Run, stage: StageRun) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...


@dataclass(frozen=True)
class CacheDecision:
    """Execute the stage or reuse an earlier output, with the reason."""

    reuse: StageRun | None
    reason: str
    key: str
    cache_inputs: dict[str, str]


def decide_reuse(stage: Stage, run: Run, executor: StageExecutor, stages: Sequence[Stage] = STAGES) -> CacheDecision:
    """Decide whether to reuse one stage. Its input stages must have an output."""
    cache_inputs = executor.cache_inputs(stage, run)
    key = executor.key(cache_inputs)
    forced = is_forced(stage, run, stages)
    earlier = executor.find(stage, key, run)
    if earlier and (earlier.run_id == run.id or not forced):
        return CacheDecision(earlier, f"unchanged since run {earlier.run_id}", key, cache_inputs)
    reason = "forced" if forced else explain_cache_miss(executor.previous(stage), cache_inputs)
    return CacheDecision(None, reason, key, cache_inputs)


def is_forced(stage: Stage, run: Run, stages: Sequence[Stage] = STAGES) -> bool:
    """True if the stage reuses nothing older than the run."""
    return bool(run.forced_from) and position(stage.name, stages) >= position(run.forced_from, stages)


def explain_cache_miss(previous: StageRun | None, cache_inputs: dict[str, str]) -> str:
    """Return, as text, what differs from the last finished execution."""
    if previous is None:
        return "first run"
    names = sorted(previous.cache_inputs.keys() | cache_inputs.keys())
    changed = [name for name in names if previous.cache_inputs.get(name) != cache_inputs.get(name)]
    changes = (describe_change(name, previous.cache_inputs, cache_inputs) for name in changed)
    return ", ".join(changes) or "its output is missing"


def describe_change(name: str, before: dict[str, str], after: dict[str, str]) -> str:
    if name not in before:
        return f"{name} is new"
    if name not in after:
        return f"{name} is gone"
    no_text = names_secret_value(name) or any(len(value) == 64 for value in (before[name], after[name]))
    return f"{name} changed" if no_text else f"{name} {before[name]} → {after[name]}"


def is_up_to_date(run: Run, executor: StageExecutor, stages: Sequence[Stage] = STAGES) -> bool:
    """True if every stage of the finished ``run`` would be reused with its present output."""
    pairs = ((decide_reuse(stage, run, executor, stages).reuse, run.stage(stage.name)) for stage in stages)
    return all(reuse is not None and reuse.output == stage.output for reuse, stage in pairs)


def run_stages(
    run: Run, executor: StageExecutor, view: RunView, start: str = "", stages: Sequence[Stage] = STAGES
) -> Run:
    """Execute or reuse stage after stage, to the end or until a person must decide.

    The stages before ``start`` are not executed again, even if their inputs have changed: an approval deploys the model
    that was approved. If a stage has no output, save the run as failed and raise StageFailed.
    """
    run.status = Status.RUNNING
    for stage in stages[position(start, stages) if start else 0 :]:
        run_or_reuse_stage(stage, run, executor, view, stages)
        if run.stage(stage.name).status is Status.WAITING:
            return _finish_run(run, Status.WAITING, executor)
    return _finish_run(run, Status.DONE, executor)


def _finish_run(run: Run, status: Status, executor: StageExecutor) -> Run:
    run.status = status
    executor.save(run)
    return run


def run_or_reuse_stage(stage: Stage, run: Run, executor: StageExecutor, view: RunView, stages: Sequence[Stage]) -> None:
    """Run the stage or reuse a cached result. Save its output, its wait or its failure."""
    record = run.stage(stage.name)
    with _save_on_error(record, run, executor, view):
        cache_decision = decide_reuse(stage, run, executor, stages)
    if cache_decision.reuse:
        _reuse_result(record, cache_decision.reuse, cache_decision, run)
    else:
        record.status, record.reason = Status.RUNNING, cache_decision.reason
        record.key, record.cache_inputs = cache_decision.key, cache_decision.cache_inputs
        record.output, record.artifact, record.detail = "", "", {}
        record.started_at, record.finished_at = clock.now(), None
        executor.save(run)
        view.stage_changed(run, record)
        with _save_on_error(record, run, executor, view):
            outcome = executor.execute(stage, run, view)
            record.cache_inputs = with_reads(record.cache_inputs, outcome.read)
            record.output, record.artifact, record.detail = outcome.output, outcome.artifact, hidden(outcome.detail)
            record.status = outcome.status
            record.finished_at = clock.now() if outcome.status.has_output else None
    executor.save(run)
    view.stage_changed(run, record)


def _reuse_result(record: StageRun, source: StageRun, cache_decision: CacheDecision, run: Run) -> None:
    if source.run_id == run.id and record.status.has_output:
        return
    own = source.run_id == run.id
    record.status, record.reason = (Status.DONE, source.reason) if own else (Status.REUSED, cache_decision.reason)
    # The stage's own inputs, and those that only an execution finds: another run may have written the source's record.
    record.key, record.cache_inputs = cache_decision.key, {**source.cache_inputs, **cache_decision.cache_inputs}
    record.output, record.artifact, record.detail = source.output, source.artifact, source.detail
    record.started_at = record.finished_at = clock.now()
    record.log = source.log


@contextmanager
def _save_on_error(record: StageRun, run: Run, executor: StageExecutor, view: RunView) -> Iterator[None]:
    """Save the stage's record before any exception leaves the block.

    Any MlopsError of a stage becomes its failure. The hint repeats the run's --set.
    """
    try:
        yield
    except BaseException as error:
        _mark_failed(record, run, error)
        if isinstance(error, MlopsError):
            error.exit_code = EXIT_STAGE_FAILED if error.exit_code == EXIT_ERROR else error.exit_code
            error.hint = continue_hint(run) if error.hint == CONTINUE else error.hint
        executor.save(run)
        view.stage_changed(run, record)
        raise


def _mark_failed(record: StageRun, run: Run, error: BaseException) -> None:
    failed = isinstance(error, Exception)
    if record.status is not Status.RUNNING:  # it failed before it began: the record is of an earlier execution
        record.started_at = clock.now()
    record.status = run.status = Status.FAILED if failed else Status.INTERRUPTED
    record.reason = without_secrets(str(error)) if failed else "stopped by the user"
    record.detail = hidden(error.detail) if isinstance(error, StageFailed) else {}
    record.finished_at = clock.now()
