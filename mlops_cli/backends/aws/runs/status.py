"""The status of a run: CodePipeline's action states merged with the records of its steps. No IO.

The status comes from CodePipeline. Cache keys, digests and reasons come from the records.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlops_cli.backends.aws.clients.codepipeline import (
    ABANDONED,
    FAILED,
    IN_PROGRESS,
    SUCCEEDED,
    SUPERSEDED_BY,
    ActionRun,
    Execution,
)
from mlops_cli.backends.aws.models.accepted_limits import AcceptedLimits, LoadAccepted, none_accepted
from mlops_cli.backends.aws.models.approval_summary import read_summary
from mlops_cli.core.cache_inputs import digest_cache_inputs
from mlops_cli.core.models.approval import SHORTFALLS, limits_of
from mlops_cli.core.models.decision import Actor, Decision, arn_name
from mlops_cli.core.runs import FOR_A_DECISION, Run, StageRun, Status, new_run
from mlops_cli.core.stages import APPROVAL, DEPLOYMENT, ENDPOINT_GATE, STAGES, Kind, Stage

COMMAND, JOB, DECISION, ENDPOINT, GATE_RESULT = "command", "job", "decision", "endpoint", "gate-result"
ROLLBACK = "rollback"
# The steps that decide. They run no code of the repository and have a role of their own.
DECIDING = (APPROVAL.name, DEPLOYMENT.name, ROLLBACK)
# The action after the step that does the stage's work, by the stage's kind.
NATIVE = {Kind.PROCESSING: JOB, Kind.TRAINING: JOB, Kind.APPROVAL: DECISION, Kind.DEPLOY: ENDPOINT}
# After the last gate: decide about a rollback, deploy the endpoint, then pass or fail the stage.
AFTER_LAST_GATE = (ROLLBACK, ENDPOINT, GATE_RESULT)
# CodePipeline's timeout of a manual approval is seven days.
APPROVAL_SECONDS = 7 * 86400
APPROVAL_TIMEOUT_SECONDS = APPROVAL_SECONDS - 60


OUTDATED = "the pipeline was changed while it waited, so it goes no further"


def build_run(
    execution: Execution,
    record: Run | None,
    actions: Sequence[ActionRun],
    load_accepted: LoadAccepted = none_accepted,
) -> Run:
    """Return the run of an execution."""
    run = record or new_run(execution.id, {})
    stopped = OUTDATED if execution.is_outdated else execution.stopped_because or "stopped"
    if execution.is_outdated:
        actions = [replace(action, status=ABANDONED) if action.status == IN_PROGRESS else action for action in actions]
    attempts = {stage.name: latest_attempt(stage.name, actions) for stage in STAGES}
    stages = [_stage_run(stage, run.stage(stage.name), attempts[stage.name], stopped) for stage in STAGES]
    composed = Run(
        id=execution.id,
        created_at=execution.started,
        status=Status.RUNNING,
        stages=_clear_after_failure(stages),
        overrides=run.overrides,
        forced_from=run.forced_from,
        decision=decision_of(execution.id, run.approval, actions, load_accepted),
    )
    composed.status = _status(execution, composed)
    return composed


def latest_attempt(stage: str, actions: Sequence[ActionRun]) -> list[ActionRun]:
    """Return the actions of a stage since its latest step: a retry begins with a new step."""
    stage_actions = [action for action in actions if action.stage == stage]
    began = max((action.started for action in stage_actions if action.name == COMMAND), default=0.0)
    return [action for action in stage_actions if action.started >= began]


def decision_of(
    run_id: str, gate: StageRun, actions: Sequence[ActionRun], load_accepted: LoadAccepted = none_accepted
) -> Decision | None:
    """Return a person's decision about the run's model or the named one; None if there is none.

    A decision in the AWS console names neither a model nor limits: it is about the run's request.
    """
    decided = [
        action
        for action in latest_attempt(APPROVAL.name, actions)
        if action.name == DECISION and action.status != IN_PROGRESS
    ]
    if not decided or decided[-1].status == ABANDONED or _expired(decided[-1]):
        return None
    last = decided[-1]
    comment, details = read_summary(last.summary)
    requested = AcceptedLimits(limits_of(gate.cache_inputs), tuple(gate.detail.get(SHORTFALLS, ())))
    accepted = load_accepted(details.accepted) or requested
    return Decision(
        run_id,
        last.status != FAILED,
        Actor(arn=last.actor),
        comment,
        last.updated,
        request_key(gate, accepted.limits),
        details.model_digest or gate.output,
        kind=details.kind,
        rollback_to=details.rollback_to,
        rolled_back_from=details.rolled_back_from,
        forwarded_from=details.forwarded_from,
        shortfalls=accepted.shortfalls,
        limits=accepted.limits,
    )


def request_key(gate: StageRun, limits: Mapping[str, str]) -> str:
    """Return the cache key that the request would have under other limits."""
    if limits == limits_of(gate.cache_inputs):
        return gate.key
    inputs = {name: value for name, value in gate.cache_inputs.items() if name not in limits_of(gate.cache_inputs)}
    return digest_cache_inputs({**limits, **inputs})


def _expired(decision: ActionRun) -> bool:
    return decision.status == FAILED and decision.updated - decision.started >= APPROVAL_TIMEOUT_SECONDS


def _stage_run(stage: Stage, record: StageRun, actions: Sequence[ActionRun], stopped: str) -> StageRun:
    """Return one stage: its inputs from the record, its status from the actions."""
    if not actions and (record.status.has_output or record.status is Status.FAILED):
        return record  # copied from another run, or refused by the next step
    if not actions:
        return replace(record, status=Status.PENDING)
    command_succeeded = any(action.name == COMMAND and action.status == SUCCEEDED for action in actions)
    if record.status is Status.FAILED and command_succeeded:
        return record  # a later action will report the failure
    status = _stage_status(stage, record, actions)
    ended = status not in (Status.RUNNING, Status.WAITING)
    began = min(action.started for action in actions)
    return replace(
        record,
        status=status,
        reason=stopped if status is Status.INTERRUPTED else _reason(record, status, actions),
        started_at=began,
        finished_at=max(action.updated for action in actions) if ended else None,
    )


def _expected_actions(stage: Stage) -> int:
    """Return the number of actions of a stage that succeeds."""
    return 1 + len(AFTER_LAST_GATE) if stage.name == ENDPOINT_GATE.name else 2 if stage.kind in NATIVE else 1


def _stage_status(stage: Stage, record: StageRun, actions: Sequence[ActionRun]) -> Status:
    failed = [action for action in actions if action.status == FAILED]
    if failed:
        rejected = failed[-1].name == DECISION and not _expired(failed[-1])
        return Status.REJECTED if rejected else Status.FAILED
    if any(action.status == ABANDONED for action in actions):
        return Status.INTERRUPTED
    going_on = [action.name for action in actions if action.status == IN_PROGRESS]
    if DECISION in going_on:
        return Status.WAITING
    if going_on or len({action.name for action in actions}) < _expected_actions(stage):
        # A reused job executes nothing; approvals and deployments still take time.
        return Status.REUSED if record.status is Status.REUSED and NATIVE.get(stage.kind) == JOB else Status.RUNNING
    return Status.REUSED if record.status is Status.REUSED else Status.DONE


def _reason(record: StageRun, status: Status, actions: Sequence[ActionRun]) -> str:
    """Return why a stage ran or failed. AWS's own message is used until the cause is looked up."""
    last = actions[-1]
    if status is Status.REJECTED:
        return f"by {arn_name(last.actor)}: {read_summary(last.summary)[0]}".rstrip(": ")
    if status is Status.FAILED and _expired(last):
        return "there was no decision within seven days"
    if status is Status.WAITING:
        end = time.gmtime(last.started + APPROVAL_SECONDS)
        return time.strftime(f"{FOR_A_DECISION} until %Y-%m-%d %H:%M UTC", end)
    if status is Status.FAILED and record.status is not Status.FAILED:
        return last.error
    stale = record.status is Status.FAILED and status is not Status.FAILED
    return "" if stale else record.reason


def _clear_after_failure(stages: list[StageRun]) -> list[StageRun]:
    """Return the stages. Those after a failed one are pending, because their steps could not start."""
    failed = next((index for index, stage in enumerate(stages) if stage.status is Status.FAILED), len(stages))
    return stages[: failed + 1] + [StageRun(stage.name, run_id=stage.run_id) for stage in stages[failed + 1 :]]


def _status(execution: Execution, run: Run) -> Status:
    statuses = {stage.status for stage in run.stages}
    if execution.status == "Succeeded":
        return Status.DONE
    if execution.is_outdated:
        return Status.INTERRUPTED
    if execution.status == "InProgress":
        return Status.WAITING if Status.WAITING in statuses else Status.RUNNING
    if execution.status == "Failed":
        return Status.REJECTED if Status.REJECTED in statuses else Status.FAILED
    superseded = execution.status == "Superseded" or execution.stopped_because.startswith(SUPERSEDED_BY)
    return Status.SUPERSEDED if superseded else Status.INTERRUPTED
