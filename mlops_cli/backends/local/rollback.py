"""Back to an earlier approved model: a run of its own that takes that model over and begins at the deployment."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace

from mlops_cli.backends.local.store import Store
from mlops_cli.registry import FIRST_STAGE, ModelVersion, approved_run, find_version, is_rolling_back, rolled_back
from mlops_cli.runs import Decision, Run, Status, copy_before, new_run


def unfinished(store: Store) -> Run | None:
    """The newest run, if it is a rollback that was killed or interrupted half-way."""
    latest = next(iter(store.runs()), None)
    half_way = (Status.RUNNING, Status.INTERRUPTED)
    return latest if latest and latest.status in half_way and is_rolling_back(latest) else None


def leads_to(run: Run, models: Sequence[ModelVersion], version: str) -> bool:
    """Whether a rollback deploys this version; raises MlopsError when there is no such one."""
    return not version or find_version(models, version).digest == run.stage("approval").output


def begin(
    target: ModelVersion, live_digest: str, who: str, why: str, store: Store, overtaken: Sequence[Run] = ()
) -> Run:
    """The run that deploys ``target``; what is live now is from here on rejected, so that no later run brings it back.

    All on record before anything is deployed, with the runs that it takes the place of: killed at any point,
    ``mlops run`` goes on with it.
    """
    source = approved_run(store.runs(), target.digest)
    run = new_run(os.urandom(4).hex(), source.overrides)
    copy_before(FIRST_STAGE, run, source)
    gate = run.stage("approval")
    comment = rolled_back(target.name, why)
    gate.reason = comment
    run.status = Status.RUNNING
    run.decision = Decision(run.id, True, who, comment, time.time(), gate.key, gate.output)
    rejections = [
        replace(said, approved=False, who=who, comment=comment, at=time.time())
        for said in {said.key: said for said in store.decisions() if said.model_digest == live_digest}.values()
    ]
    store.save(*overtaken, run, decisions=[*rejections, run.decision])
    return run
