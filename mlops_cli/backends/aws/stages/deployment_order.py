"""One deployment at a time, its tests included.

CodePipeline lets the next run deploy as soon as a run has left the stage ``deploy``, although the tests of that run's
model, and perhaps its automatic rollback, are still to come.
"""

from __future__ import annotations

import logging
import time
from itertools import dropwhile, islice

from mlops_cli.backends.aws.clients.codepipeline import IN_PROGRESS, SUCCEEDED, Pipeline
from mlops_cli.backends.aws.models.approval_summary import DecisionDetails
from mlops_cli.backends.aws.runs.status import ENDPOINT
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.models.model_versions import OVERTAKEN
from mlops_cli.core.stages import DEPLOYMENT

POLL_SECONDS = 5.0
# Less than the time limit of a decision step's build.
LIMIT_SECONDS = 45 * 60.0


def wait_for_earlier_run(run_id: str, pipeline: Pipeline) -> None:
    """Wait until the run that has deployed before this one has ended. Raise StageFailed if it takes too long."""
    deadline, shown = time.monotonic() + LIMIT_SECONDS, ""
    while earlier := earlier_tested_run(run_id, pipeline):
        if time.monotonic() >= deadline:
            raise StageFailed(
                f"Run {earlier} still tests its model after {LIMIT_SECONDS / 60:.0f} minutes.",
                f"Wait for it: mlops status {earlier} --follow. Then continue: mlops run",
            )
        if earlier != shown:
            logging.getLogger("mlops").warning("Run %s tests its model; the deployment waits for it.", earlier)
            shown = earlier
        time.sleep(POLL_SECONDS)


def earlier_tested_run(run_id: str, pipeline: Pipeline) -> str:
    """Return the earlier run that has deployed its model and has not ended; empty if there is none."""
    listed = dropwhile(lambda execution: execution.id != run_id, pipeline.executions())
    for execution in islice(listed, 1, None):
        if execution.status == SUCCEEDED:
            return ""
        if execution.status == IN_PROGRESS and any(
            (action.stage, action.name, action.status) == (DEPLOYMENT.name, ENDPOINT, SUCCEEDED)
            for action in pipeline.actions(execution.id)
        ):
            return execution.id
    return ""


def require_replaced_model(details: DecisionDetails, deployed: str) -> None:
    """Raise StageFailed for a rollback if the deployed model is not the one that it was to replace."""
    target, replaced = details.rollback_to, details.rolled_back_from
    if target is None or deployed in ("", target.digest, replaced.digest if replaced else ""):
        return
    away_from = f" from {replaced.version}" if replaced else ""
    raise StageFailed(
        f"The rollback{away_from} to {target.version} was not made: the model {deployed[:12]} was deployed after it "
        "had been started, and stays live.",
        f"See which model is live: mlops models. To replace this one, too: mlops rollback --to {target.version}",
        {OVERTAKEN: deployed},
    )
