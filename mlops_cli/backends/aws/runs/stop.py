"""Stop a run: its execution, and its build or job, which CodePipeline would let continue."""

from __future__ import annotations

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.codebuild import stop_build
from mlops_cli.backends.aws.clients.codepipeline import ABANDONED, IN_PROGRESS, STEP_FUNCTIONS, ActionRun
from mlops_cli.backends.aws.clients.stepfunctions import stop_execution
from mlops_cli.backends.aws.runs.queries import RunQueries
from mlops_cli.core.models.decision import person
from mlops_cli.core.runs import Run, Status
from mlops_cli.project.environment import claimed_names


class RunStopper:
    def __init__(self, account: Account, runs: RunQueries) -> None:
        self._account = account
        self._runs = runs

    def stop(self, run_id: str) -> Run:
        """Stop the execution first, so that nothing new starts. A running deployment completes by itself.

        Stop the jobs of a stopped execution, too: an earlier command may have been killed before it reached them.
        """
        actions = self._runs.pipeline.actions(run_id)
        working = [action for action in actions if action.status in (IN_PROGRESS, ABANDONED)]
        why = f"stopped by {person(*claimed_names()).name}"
        self._runs.pipeline.stop(run_id, why)
        for action in working:
            self._stop_job(action, why)
        self._runs.wait_for_status_change(run_id, Status.RUNNING)
        return self._runs.refresh(run_id)

    def _stop_job(self, action: ActionRun, why: str) -> None:
        """Stop the build, or the state machine's execution together with its SageMaker job."""
        if action.provider == STEP_FUNCTIONS and action.external:
            stop_execution(self._account.client("stepfunctions"), action.external, why)
        if action.provider == "CodeBuild" and action.external:
            stop_build(self._account.client("codebuild"), action.external)
