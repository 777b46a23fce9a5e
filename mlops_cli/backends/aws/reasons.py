"""The real reason of a failed stage: the script's last words, the job's, the stack's first cause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.logs import Logs, build_log
from mlops_cli.backends.aws.pipeline import FAILED, ActionRun
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.backends.aws.stacks import Stacks
from mlops_cli.backends.aws.standing import COMMAND, DECISION, ROLLBACK, latest_attempt
from mlops_cli.jobs import progress_in
from mlops_cli.runs import Run, StageRun, Status
from mlops_cli.stages import Kind, Stage, stage_named

TAIL_LINES = 8
# More than is shown: lines that only say how far the work was are left out of it.
READ_LINES = 40


class Reasons:
    def __init__(self, account: Account, stacks: Stacks, endpoint_stack: str) -> None:
        self._account = account
        self._stacks = stacks
        self._endpoint_stack = endpoint_stack

    def explained(self, run: Run, record: Run | None, actions: Sequence[ActionRun]) -> Run:
        """The run, with the reason of its failure looked up where AWS keeps it."""
        at = run.current
        if at is None or at.status is not Status.FAILED:
            return run
        known = record is not None and record.stage(at.name).status is Status.FAILED
        failed = [action for action in latest_attempt(at.name, actions) if action.status == FAILED]
        if known or not failed or failed[-1].name == DECISION:
            return run
        reason = self._reason(stage_named(at.name), at, failed[-1], run.id)
        stages = [replace(one, reason=reason) if one is at else one for one in run.stages]
        return replace(run, stages=stages)

    def _reason(self, stage: Stage, at: StageRun, action: ActionRun, run_id: str) -> str:
        log = f"Log: mlops logs {run_id} --stage {stage.name}"
        if action.name in (COMMAND, ROLLBACK):
            said = self._tail(build_log(action.external))
            return "\n".join([f"The command step of {stage.name} failed: {action.error}", *said, log])
        if stage.kind is Kind.DEPLOY:
            stack = self._stacks.find(self._endpoint_stack)
            cause = self._stacks.why(stack) if stack else action.error
            return f"The endpoint could not be deployed: {cause}"
        return "\n".join([f"{stage.script} failed: {self._of_job(stage, at, action)}", *self._tail(at.log), log])

    def _of_job(self, stage: Stage, at: StageRun, action: ActionRun) -> str:
        """What SageMaker says of a job; of one that it never began, what the state machine says."""
        job = at.detail.get("job", "")
        try:
            return self._failure(stage, job) or action.error
        except AwsError as error:
            if error.code not in ("ResourceNotFound", "ValidationException"):
                raise
            return self._cause(action)

    def _failure(self, stage: Stage, job: str) -> str:
        client = self._account.client("sagemaker")
        if stage.kind is Kind.TRAINING:
            found = client.describe_training_job(TrainingJobName=job)
        else:
            found = client.describe_processing_job(ProcessingJobName=job)
        return " ".join(str(found.get("FailureReason", "")).split())

    def _cause(self, action: ActionRun) -> str:
        if not action.external.startswith("arn:"):
            return action.error
        found = self._account.client("stepfunctions").describe_execution(executionArn=action.external)
        return str(found.get("cause") or found.get("error") or action.error)

    def _tail(self, address: str) -> list[str]:
        lines = Logs(self._account.client("logs")).tail(address, READ_LINES)
        said = [f"  {line}" for line in lines if not progress_in(line)]
        return said[-TAIL_LINES:]
