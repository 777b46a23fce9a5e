"""Roll back to an earlier approved model: a run that copies the model's stages and starts at the deployment."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlops_cli.backends.local.runs.store import RunStore
from mlops_cli.core import clock
from mlops_cli.core.models.decision import Actor, Decision, DecisionKind, NamedModel
from mlops_cli.core.models.model_versions import ModelVersion, approved_run
from mlops_cli.core.models.rollback import LastRollback
from mlops_cli.core.runs import Run, Status, copy_earlier_stages, new_run
from mlops_cli.core.stages import DEPLOYMENT


@dataclass(frozen=True)
class RollbackReason:
    """The actor, comment and kind of a rollback, the present limits, and the model's shortfalls under them."""

    actor: Actor
    comment: str
    limits: Mapping[str, str]
    shortfalls: tuple[str, ...] = ()
    kind: DecisionKind = DecisionKind.ROLLBACK


def last_rollback(store: RunStore) -> LastRollback | None:
    """Return the rollback of the last approving decision; None if that decision is no rollback."""
    last = next((decision for decision in store.decisions() if decision.approved), None)
    runs = store.runs()
    run = next((run for run in runs if last and last.is_rollback and run.id == last.run_id), None)
    if run is None:
        return None
    replaced = run.decision.rolled_back_from if run.decision else None
    return LastRollback(run, run.approval.output, replaced.digest if replaced else "", run.id == runs[0].id)


def start_rollback(
    target: ModelVersion,
    away_from: NamedModel | None,
    reason: RollbackReason,
    store: RunStore,
    overtaken: Sequence[Run] = (),
) -> Run:
    """Return the run that deploys ``target``. Reject the replaced model, so that no later run restores it.

    Everything, including the superseded runs, is recorded before the deployment. After a kill at any point, ``mlops
    run`` completes the rollback.
    """
    source = approved_run(store.runs(), target.digest)
    run = new_run(os.urandom(4).hex(), source.overrides)
    copy_earlier_stages(DEPLOYMENT.name, run, source)
    gate = run.approval
    run.status = Status.RUNNING
    run.decision = Decision(
        run.id,
        True,
        reason.actor,
        reason.comment,
        clock.now(),
        gate.key,
        gate.output,
        reason.kind,
        rollback_to=target.named,
        rolled_back_from=away_from,
        shortfalls=reason.shortfalls,
        limits=reason.limits,
    )
    gate.reason = f"approved {run.decision.by}"
    rejections = _rejections(run.decision, away_from.digest if away_from else "", store)
    store.save(*overtaken, run, decisions=[*rejections, run.decision])
    return run


def _rejections(rollback: Decision, replaced_digest: str, store: RunStore) -> list[Decision]:
    """Return a rejection for each approval gate that has decided about the replaced model."""
    decisions = {decision.key: decision for decision in store.decisions() if decision.model_digest == replaced_digest}
    return [
        replace(
            rollback,
            run_id=decision.run_id,
            approved=False,
            key=decision.key,
            model_digest=replaced_digest,
            shortfalls=(),
        )
        for decision in decisions.values()
    ]
