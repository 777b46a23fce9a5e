"""Back to an earlier approved model: a run of its own that takes that model over and begins at the deployment."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from mlops_cli.backends.local.store import Store
from mlops_cli.registry import ModelVersion, approved_run
from mlops_cli.runs import Decision, Run, Status, copy_before, new_run

FIRST_STAGE, GATE = "deploy", "post-training-tests"
MARK = "rolled_back_from"


def unfinished(store: Store) -> Run | None:
    """The newest run, if it is a rollback that was killed or interrupted half-way."""
    latest = next(iter(store.runs()), None)
    half_way = (Status.RUNNING, Status.INTERRUPTED)
    return latest if latest and latest.status in half_way and is_rollback(latest) else None


def is_rollback(run: Run) -> bool:
    return MARK in run.stage("approval").detail


def is_called_for(run: Run) -> bool:
    """Whether a run has deployed a model that then failed its gate; a rollback is not rolled back itself."""
    failed = run.stage(GATE).status is Status.FAILED
    return failed and run.stage("deploy").status is Status.DONE and not is_rollback(run)


def begin(target: ModelVersion, live_digest: str, who: str, why: str, store: Store) -> Run:
    """The run that deploys ``target``; what is live now is from here on rejected, so that no later run brings it back.

    All on record before anything is deployed: killed at any point, ``mlops run`` goes on with it.
    """
    source = approved_run(store.runs(), target.digest)
    run = new_run(os.urandom(4).hex(), source.overrides)
    copy_before(FIRST_STAGE, run, source)
    gate = run.stage("approval")
    gate.reason, gate.detail = f"rolled back to {target.name}", {MARK: live_digest}
    run.status = Status.RUNNING
    run.decision = Decision(
        run.id, True, who, f"rolled back to {target.name}: {why}", time.time(), gate.key, gate.output
    )
    rejections = [
        replace(said, approved=False, who=who, comment=f"rolled back to {target.name}: {why}", at=time.time())
        for said in {said.key: said for said in store.decisions() if said.model_digest == live_digest}.values()
    ]
    store.begin(run, [*rejections, run.decision])
    return run
