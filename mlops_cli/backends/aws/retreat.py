"""The way back inside the pipeline: a model that fails its gate on the endpoint makes room for the one before it.

The gate's command step says whether the model has passed; the next one, which runs no code of the repository, says
what is to be live from then on, the next action deploys that as the stage before has done, and the last one fails the
stage. So nobody needs to follow the run. Nothing is asked of a person either: what comes back was approved by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.crew import Crew
from mlops_cli.backends.aws.registry import PENDING
from mlops_cli.decision import DecisionKind
from mlops_cli.errors import MlopsError
from mlops_cli.registry import (
    FIRST_STAGE,
    LAST_GATE,
    RETURNED,
    ModelVersion,
    approved_run,
    calls_for_rollback,
    served_before,
    versions_of,
)
from mlops_cli.runs import Run, StageRun, Status

GOING_BACK = "\nGoing back to the approved "


@dataclass(frozen=True)
class Target:
    """The model to go back to, and the model package that it was approved as."""

    name: str
    digest: str
    package: str


def begin(run: Run, crew: Crew) -> Target | None:
    """Choose the earlier model, and put on record that it is live from now on; None when there is none.

    Killed half-way, it does the same again: the record of the run comes first, and says which one was chosen.
    """
    if not calls_for_rollback(replace(run, decision=crew.decisions.of(run))):
        return None
    target = _earlier(run, crew)
    if target is None:
        return None
    gate = run.stage(LAST_GATE)
    said = gate.reason.partition(GOING_BACK)[0]
    gate.reason = f"{said}{GOING_BACK}{target.name} ({target.digest[:12]})."
    gate.finished_at = time.time()  # what comes back does so after the deployment was taken in
    gate.detail = {**gate.detail, RETURNED: {"version": target.name, "digest": target.digest}}
    crew.records.save(run)
    failing = run.stage(FIRST_STAGE)
    _reject(
        failing.output,
        f"{DecisionKind.AUTOMATIC_ROLLBACK.value} to {target.name}: the gate {LAST_GATE} failed in run {run.id}",
        crew,
    )
    crew.records.remember(replace(failing, status=Status.REUSED, output=target.digest))
    return target


def _earlier(run: Run, crew: Crew) -> Target | None:
    """The approved model that was live last before this run's, if all is there that its deployment takes."""
    runs = list(crew.records.runs())
    digests = {one.stage("train").output for one in runs} - {""}
    said = [decision for digest in digests for decision, _ in crew.decisions.about(digest)]
    models = versions_of(runs, sorted(said, key=lambda one: one.at, reverse=True))
    found = (_target(model, runs, crew) for model in served_before(models, run.stage(FIRST_STAGE).output))
    return next((target for target in found if target), None)


def _target(model: ModelVersion, runs: Sequence[Run], crew: Crew) -> Target | None:
    try:
        gate = approved_run(runs, model.digest).stage("approval")
    except MlopsError:  # nothing of it is on record any more
        return None
    approval = crew.decisions.approval(model.digest, gate.key)
    if approval is None or not crew.bucket.exists(f"models/{model.digest}/model.tar.gz"):
        return None
    numbers = [_number(asked) for asked in crew.records.asked(model.digest)]
    return Target(f"v{min(numbers)}", model.digest, approval.detail["package"])


def _number(asked: StageRun) -> int:
    """A version has the number of the first package that was registered of it."""
    return int(asked.detail["package"].rpartition("/")[2])


def _reject(digest: str, why: str, crew: Crew) -> None:
    """From here on no run deploys this model unasked."""
    for asked in crew.records.asked(digest):
        package = asked.detail["package"]
        if crew.registry.status(package) != PENDING:
            crew.registry.decide(package, False, why)
