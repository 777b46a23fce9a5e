"""The way back inside the pipeline: a model that fails its gate on the endpoint makes room for the one before it.

The gate's command step says whether the model has passed; the next one, which runs no code of the repository, says
what is to be live from then on, the next action deploys that as the stage before has done, and the last one fails the
stage. So nobody needs to follow the run. Nothing is asked of a person either: what comes back was approved by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlops_cli.backends.aws.clients.model_registry import PENDING
from mlops_cli.backends.aws.services import AwsServices
from mlops_cli.core.decision import DecisionKind
from mlops_cli.core.model_versions import (
    FIRST_STAGE,
    LAST_GATE,
    ROLLED_BACK_TO,
    ModelVersion,
    approved_run,
    needs_rollback,
    previously_live,
    versions_of,
)
from mlops_cli.core.runs import Run, StageRun, Status
from mlops_cli.errors import MlopsError

ROLLING_BACK = "\nGoing back to the approved "


@dataclass(frozen=True)
class RollbackModel:
    """The model to go back to, and the model package that it was approved as."""

    name: str
    digest: str
    package: str


def select_rollback_model(run: Run, services: AwsServices) -> RollbackModel | None:
    """Choose the earlier model, and put on record that it is live from now on; None when there is none.

    Killed half-way, it does the same again: the record of the run comes first, and says which one was chosen.
    """
    if not needs_rollback(replace(run, decision=services.approvals.for_run(run))):
        return None
    target = _previous_model(run, services)
    if target is None:
        return None
    gate = run.stage(LAST_GATE)
    reason = gate.reason.partition(ROLLING_BACK)[0]
    gate.reason = f"{reason}{ROLLING_BACK}{target.name} ({target.digest[:12]})."
    gate.finished_at = time.time()  # what comes back does so after the deployment was taken in
    gate.detail = {**gate.detail, ROLLED_BACK_TO: {"version": target.name, "digest": target.digest}}
    services.run_store.save(run)
    failing = run.stage(FIRST_STAGE)
    _reject(
        failing.output,
        f"{DecisionKind.AUTOMATIC_ROLLBACK.value} to {target.name}: the gate {LAST_GATE} failed in run {run.id}",
        services,
    )
    services.run_store.save_stage(replace(failing, status=Status.REUSED, output=target.digest))
    return target


def _previous_model(run: Run, services: AwsServices) -> RollbackModel | None:
    """The approved model that was live last before this run's, if all is there that its deployment takes."""
    runs = list(services.run_store.runs())
    digests = {run_record.stage("train").output for run_record in runs} - {""}
    decisions = [decision for digest in digests for decision, _ in services.approvals.for_model(digest)]
    models = versions_of(runs, sorted(decisions, key=lambda decision: decision.at, reverse=True))
    targets = (
        _rollback_model(model, runs, services) for model in previously_live(models, run.stage(FIRST_STAGE).output)
    )
    return next((target for target in targets if target), None)


def _rollback_model(model: ModelVersion, runs: Sequence[Run], services: AwsServices) -> RollbackModel | None:
    try:
        gate = approved_run(runs, model.digest).stage("approval")
    except MlopsError:  # nothing of it is on record any more
        return None
    approval = services.approvals.approval(model.digest, gate.key)
    if approval is None or not services.bucket.exists(f"models/{model.digest}/model.tar.gz"):
        return None
    numbers = [_number(request) for request in services.run_store.approval_requests(model.digest)]
    return RollbackModel(f"v{min(numbers)}", model.digest, approval.detail["package"])


def _number(request: StageRun) -> int:
    """A version has the number of the first package that was registered of it."""
    return int(request.detail["package"].rpartition("/")[2])


def _reject(digest: str, why: str, services: AwsServices) -> None:
    """From here on no run deploys this model unasked."""
    for request in services.run_store.approval_requests(digest):
        package = request.detail["package"]
        if services.registry.status(package) != PENDING:
            services.registry.decide(package, False, why)
