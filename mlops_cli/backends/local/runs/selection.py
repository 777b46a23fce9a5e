"""Select the run of a command: a new one, the interrupted one, or the one that waits for a decision."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.core.engine import StageExecutor, decide_reuse, is_up_to_date
from mlops_cli.core.models.decision import Decision
from mlops_cli.core.runs import (
    CONTINUABLE,
    Run,
    RunRequest,
    Status,
    copy_earlier_stages,
    earlier_stages_missing_error,
    has_all_before,
    new_run,
    not_waiting_error,
    overtaken_error,
    superseded_error,
)
from mlops_cli.core.stages import DEPLOYMENT, STAGES, Kind, Stage, position
from mlops_cli.errors import EXIT_REJECTED, MlopsError

GATE = next((index for index, stage in enumerate(STAGES) if stage.kind is Kind.APPROVAL), len(STAGES))


@dataclass(frozen=True)
class RunSelection:
    """The run to continue. The stages before ``start`` are taken unchanged."""

    run: Run
    start: str = ""
    fresh: bool = True


def select_run(request: RunRequest, store: RunStore, executor: StageExecutor) -> RunSelection:
    """Start a run, continue the interrupted or failed one, or find that nothing has changed (``fresh`` False).

    The caller holds the project's lock. So the process of a run that is stored as running has died.
    """
    runs = store.runs()
    latest = _latest(runs)
    if request.from_stage:
        return _from_stage(request, runs, executor)
    if (rollback := _interrupted_rollback(runs)) is not None:
        return RunSelection(rollback, DEPLOYMENT.name)
    if request.force or latest is None:
        return RunSelection(_new_run(request.overrides, STAGES[0].name if request.force else ""))
    continued = replace(latest, overrides={**latest.overrides, **request.overrides})
    if latest.status in CONTINUABLE and (latest.decision is None or _with_decision(continued, executor)):
        return RunSelection(continued, DEPLOYMENT.name if continued.is_rollback else "")
    if _nothing_changed(replace(latest, overrides=dict(request.overrides)), executor):
        return RunSelection(latest, fresh=False)
    return RunSelection(_new_run(request.overrides))


def _interrupted_rollback(runs: list[Run]) -> Run | None:
    """Return the newest run if it is an unfinished rollback."""
    latest = next(iter(runs), None)
    unfinished = (Status.RUNNING, Status.INTERRUPTED)
    return latest if latest and latest.status in unfinished and latest.is_rollback else None


def _latest(runs: list[Run]) -> Run | None:
    """Return the newest run, or an earlier unfinished one that was approved after it."""
    since = runs[0].created_at if runs else 0.0
    approved = (run for run in runs if run.decision and run.decision.approved and run.decision.at > since)
    going_on = [run for run in approved if run.status in CONTINUABLE]
    return next(iter([*going_on, *runs]), None)


def _new_run(overrides: dict[str, str], forced_from: str = "") -> Run:
    return new_run(os.urandom(4).hex(), overrides, forced_from)


def _from_stage(request: RunRequest, runs: list[Run], executor: StageExecutor) -> RunSelection:
    """Return a run with the earlier stages of the newest run that has finished them, even if inputs have changed."""
    source = next((run for run in runs if has_all_before(request.from_stage, run)), None)
    if source is None:
        raise earlier_stages_missing_error(request.from_stage)
    run = _new_run({**source.overrides, **request.overrides}, request.from_stage)
    copy_earlier_stages(request.from_stage, run, source)
    if position(request.from_stage) > GATE and executor.find(STAGES[GATE], source.stages[GATE].key, run) is None:
        raise MlopsError(
            f"The model of run {source.id} was rejected after it had been approved.",
            "Approve another one: mlops run",
            EXIT_REJECTED,
        )
    return RunSelection(run, request.from_stage)


def _with_decision(run: Run, executor: StageExecutor) -> bool:
    """Return True if the continued run would still be about the decided model."""
    return is_up_to_date(run, executor, STAGES[:GATE])


def _nothing_changed(latest: Run, executor: StageExecutor) -> bool:
    """Return True if a new run would only repeat ``latest``, which has finished or waits."""
    if latest.status is Status.DONE:
        return is_up_to_date(latest, executor)
    if latest.status is not Status.WAITING:
        return False
    return is_up_to_date(latest, executor, STAGES[:GATE]) and decide_reuse(STAGES[GATE], latest, executor).reuse is None


def with_actual_status(run: Run, alive: bool, log: Path | None = None) -> Run:
    """Return the run. It is interrupted if the store says that it is running but no process runs it.

    ``log``: the log of a background run.
    """
    if run.status not in (Status.RUNNING, Status.PENDING) or alive:
        return run
    reason = "the command that ran it died" + (f", see {log}" if log and log.is_file() else "")
    died = [
        replace(stage, status=Status.INTERRUPTED, reason=reason) if stage.status is Status.RUNNING else stage
        for stage in run.stages
    ]
    return replace(run, status=Status.INTERRUPTED, stages=died)


def supersede_older(run: Run, store: RunStore) -> None:
    """Mark older waiting runs as superseded once a run has reached the approval.

    A run that begins after the approval, such as a rollback, supersedes no other run.
    """
    if starts_after_approval(run):
        return
    runs = store.runs()
    newer = [older.id for older in runs].index(run.id)
    for older in runs[newer + 1 :]:
        if older.status is Status.WAITING:
            store.set_status(older.id, Status.SUPERSEDED)


def check_ready(run: Run, stage: Stage) -> None:
    """Raise MlopsError with the reason if an earlier stage has no output or the decided model would change."""
    if run.decision and position(stage.name) < GATE:
        raise MlopsError(
            f"The model of run {run.id} already has a decision: its {stage.name} is not run again.",
            f"Start another run: mlops run --from {stage.name}",
        )
    for before in run.stages[: position(stage.name)]:
        if not before.status.has_output:
            raise MlopsError(
                f"{stage.name} of run {run.id} comes after {before.name}, which is {before.status.value}.",
                f"Run this first: mlops stage {before.name} --run-id {run.id}",
            )


def finish_single_stage(run: Run, store: RunStore) -> None:
    """Record the run's status after one of its stages was run alone. ``mlops run`` continues it."""
    at = run.current
    if at is None:
        run.status = Status.DONE
    else:
        run.status = Status.WAITING if at.status is Status.WAITING else Status.INTERRUPTED
    store.save(run)
    if run.status is Status.WAITING:
        supersede_older(run, store)


def record_decision(run: Run, decision: Decision, store: RunStore) -> None:
    """Record a decision and the run's status in one step: after a kill, the run is either waiting or decided."""
    gate = run.stage(STAGES[GATE].name)
    run.decision = decision
    run.status, gate.status = (Status.RUNNING, Status.DONE) if decision.approved else (Status.REJECTED, Status.REJECTED)
    gate.reason = f"approved {decision.by}" if decision.approved else decision.by
    gate.started_at = gate.finished_at = decision.at  # waiting does not count as work
    store.save(*(superseded_deploy(store) if decision.approved else ()), run, decisions=[decision])


def superseded_deploy(store: RunStore) -> list[Run]:
    """Return the newest run as superseded, if it is an unfinished deployment and another model is deployed now.

    No command continues it, because it would replace the model that was approved later.
    """
    latest = next(iter(store.runs()), None)
    if latest is None or latest.status not in CONTINUABLE or not starts_after_approval(latest):
        return []
    return [replace(with_actual_status(latest, alive=False), status=Status.SUPERSEDED)]


def starts_after_approval(run: Run) -> bool:
    return run.is_rollback or bool(run.forced_from and position(run.forced_from) > GATE)


def check_waiting(run: Run, store: RunStore) -> None:
    """Raise MlopsError with the reason and the next command, unless the run waits for a decision."""
    if run.status is Status.SUPERSEDED:
        newer = next(candidate.id for candidate in store.runs() if candidate.status is not Status.SUPERSEDED)
        raise superseded_error(run, newer)
    if run.status is not Status.WAITING:
        raise not_waiting_error(run)


def check_still_approved(run: Run, store: RunStore, executor: StageExecutor) -> None:
    """Raise MlopsError if the approved model was rejected since, or if the last decision or deployment is another's."""
    gate = run.stages[GATE]
    decided_at = run.decision.at if run.decision else gate.finished_at or run.created_at
    last = next((decision for decision in store.decisions() if decision.approved), None)
    digests = {decided_at: gate.output, **({last.at: last.model_digest} if last and last.at > decided_at else {})}
    for deployment in (earlier.deployment for earlier in store.runs()):
        if deployment.status.has_output and (deployment.finished_at or 0.0) > decided_at:
            digests[deployment.finished_at or 0.0] = deployment.output
    if digests[max(digests)] != gate.output or executor.find(STAGES[GATE], gate.key, run) is None:
        raise overtaken_error(run)
