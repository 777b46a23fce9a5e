"""Back to an earlier approved model: a run of its own that takes that model over and begins at the deployment."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_cli.backends.local.run_store import RunStore
from mlops_cli.core.decision import Actor, Decision, DecisionKind, NamedModel
from mlops_cli.core.evidence import limits_of
from mlops_cli.core.model_versions import (
    FIRST_STAGE,
    ModelVersion,
    approved_run,
    deployed_version,
    find_version,
    is_rolling_back,
)
from mlops_cli.core.runs import Run, Status, copy_earlier_stages, new_run


@dataclass(frozen=True)
class Words:
    """Who goes back, why, and whether anybody was asked."""

    actor: Actor
    comment: str
    kind: DecisionKind = DecisionKind.ROLLBACK
    shortfalls: tuple[str, ...] = ()


def interrupted_rollback(store: RunStore) -> Run | None:
    """The newest run, if it is a rollback that was killed or interrupted half-way."""
    latest = next(iter(store.runs()), None)
    half_way = (Status.RUNNING, Status.INTERRUPTED)
    return latest if latest and latest.status in half_way and is_rolling_back(latest) else None


def to_finish(store: RunStore, models: Sequence[ModelVersion], version: str) -> Run | None:
    """The rollback that a command which is repeated goes on with: it is to this version, or to none in particular.

    One that was killed, at whatever point: also after its last record, when nothing is left to do. It is no longer
    the one that is meant once another model was approved or deployed since.
    """
    last = next((said for said in store.decisions() if said.approved), None)
    runs = store.runs()
    run = next((one for one in runs if last and last.is_rollback and one.id == last.run_id), None)
    if run is None or not deploys_version(run, models, version):
        return None
    deployed = deployed_version(models)
    target = run.stage("approval").output
    if run.status in (Status.RUNNING, Status.INTERRUPTED):
        away_from = run.decision.rolled_back_from if run.decision else None
        return run if deployed is None or deployed.digest in (target, away_from.digest if away_from else "") else None
    finished = run.status is Status.DONE and run.id == runs[0].id
    return run if finished and deployed is not None and deployed.digest == target else None


def deploys_version(run: Run, models: Sequence[ModelVersion], version: str) -> bool:
    """Whether a rollback deploys this version; raises MlopsError when there is no such one."""
    return not version or find_version(models, version).digest == run.stage("approval").output


def start_rollback(
    target: ModelVersion,
    away_from: NamedModel | None,
    words: Words,
    store: RunStore,
    overtaken: Sequence[Run] = (),
) -> Run:
    """The run that deploys ``target``; what it goes away from is rejected from here on: no later run brings it back.

    All on record before anything is deployed, with the runs that it takes the place of: killed at any point,
    ``mlops run`` goes on with it.
    """
    source = approved_run(store.runs(), target.digest)
    run = new_run(os.urandom(4).hex(), source.overrides)
    copy_earlier_stages(FIRST_STAGE, run, source)
    gate = run.stage("approval")
    run.status = Status.RUNNING
    run.decision = Decision(
        run.id,
        True,
        words.actor,
        words.comment,
        time.time(),
        gate.key,
        gate.output,
        words.kind,
        rollback_to=target.named,
        rolled_back_from=away_from,
        shortfalls=words.shortfalls,
        limits=limits_of(gate),
    )
    gate.reason = f"approved {run.decision.by}"
    given_up = away_from.digest if away_from else ""
    rejections = [
        replace(
            run.decision, run_id=decision.run_id, approved=False, key=decision.key, model_digest=given_up, shortfalls=()
        )
        for decision in {
            decision.key: decision for decision in store.decisions() if decision.model_digest == given_up
        }.values()
    ]
    store.save(*overtaken, run, decisions=[*rejections, run.decision])
    return run
