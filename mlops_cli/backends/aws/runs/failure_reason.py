"""The real reason of a failed stage: the script's last lines, SageMaker's reason, or the stack's first failure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.codepipeline import FAILED, ActionRun
from mlops_cli.backends.aws.clients.logs import Logs, build_log
from mlops_cli.backends.aws.errors import AwsError, or_none
from mlops_cli.backends.aws.runs.status import (
    COMMAND,
    DECIDING,
    DECISION,
    ENDPOINT,
    GATE_RESULT,
    JOB,
    ROLLBACK,
    latest_attempt,
)
from mlops_cli.core.jobs.script_job import progress_in
from mlops_cli.core.runs import HINT, Run, StageRun, Status
from mlops_cli.core.stages import Kind, Stage, stage_named
from mlops_cli.frameworks.package_check import TRIAL_JOB, UNSERVABLE
from mlops_cli.plain_text import clipped

COMPLETED = "Completed"
TAIL_LINES = 8
# More lines than are shown, because progress lines are removed.
READ_LINES = 40
# A failure of SageMaker itself: nothing in the project can be fixed. SageMaker retries a training after the first kind.
OF_SAGEMAKER = re.compile(r" failed: (InternalServerError|CapacityError)\b")
AGAIN = "Repeat the stage with a new job: mlops run. If it fails again, choose another instance_type in usecase.toml"


class FailureExplainer:
    """``endpoint_failure``: returns why the endpoint's stack has failed since a time; "" if it has not."""

    def __init__(self, account: Account, endpoint_failure: Callable[[float], str]) -> None:
        self._account = account
        self._endpoint_failure = endpoint_failure

    def explain(self, run: Run, record: Run | None, actions: Sequence[ActionRun]) -> Run:
        """Return the run with the reason of its failure, read from the AWS service that failed."""
        at = run.current
        if at is None or at.status is not Status.FAILED:
            return run
        is_recorded = record is not None and record.stage(at.name).status is Status.FAILED
        failed = [action for action in latest_attempt(at.name, actions) if action.status == FAILED]
        if is_recorded or not failed or failed[-1].name == DECISION:
            return run
        reason = self._reason(stage_named(at.name), at, failed[-1], run.id)
        again = {HINT: AGAIN} if failed[-1].name == JOB and OF_SAGEMAKER.search(reason) else {}
        explained = replace(at, reason=reason, detail={**at.detail, **again})
        return replace(run, stages=[explained if stage is at else stage for stage in run.stages])

    def _reason(self, stage: Stage, at: StageRun, action: ActionRun, run_id: str) -> str:
        log = f"Log: mlops logs {run_id} --stage {stage.name}"
        if action.name in (COMMAND, ROLLBACK):
            tail = self._tail(build_log(action.external))
            return "\n".join([f"The step of {stage.name} failed: {_build_error(action)}", *tail, log])
        if action.name == ENDPOINT:
            # If CloudFormation refused the update, the stack has no event: use CodePipeline's reason.
            return f"The endpoint could not be deployed: {self._endpoint_failure(action.started) or action.error}"
        if action.name == GATE_RESULT:
            return action.error
        if problem := self._trial_problem(at):
            return "\n".join([f"{UNSERVABLE}: {problem}", log])
        return "\n".join([f"{stage.script} failed: {self._job_reason(stage, at, action)}", *self._tail(at.log), log])

    def _trial_problem(self, at: StageRun) -> str:
        """Return why the trial of a trained model has failed; empty if it has not, or was not started."""
        trial = at.detail.get(TRIAL_JOB, "")
        if not trial:
            return ""
        description = or_none(self._account.client("sagemaker").describe_processing_job, ProcessingJobName=trial)
        if description is None or description["ProcessingJobStatus"] == COMPLETED:
            return ""
        reason = " ".join(str(description.get("ExitMessage") or description.get("FailureReason", "")).split())
        return reason or f"its trial {trial} is {description['ProcessingJobStatus']}"

    def _job_reason(self, stage: Stage, at: StageRun, action: ActionRun) -> str:
        """Return SageMaker's reason for a job; if the job was never created, the state machine's reason."""
        job = at.detail.get("job", "")
        try:
            return self._failure(stage, job) or action.error
        except AwsError as error:
            if not (error.is_not_found or error.code == "ValidationException"):
                raise
            return self._cause(action)

    def _failure(self, stage: Stage, job: str) -> str:
        client = self._account.client("sagemaker")
        if stage.kind is Kind.TRAINING:
            description = client.describe_training_job(TrainingJobName=job)
        else:
            description = client.describe_processing_job(ProcessingJobName=job)
        return " ".join(str(description.get("FailureReason", "")).split())

    def _cause(self, action: ActionRun) -> str:
        if not action.external.startswith("arn:"):
            return action.error
        description = self._account.client("stepfunctions").describe_execution(executionArn=action.external)
        return str(description.get("cause") or description.get("error") or action.error)

    def _tail(self, address: str) -> list[str]:
        lines = Logs(self._account.client("logs")).tail(address, READ_LINES)
        text = [f"  {clipped(line)}" for line in lines if not progress_in(line)]
        return text[-TAIL_LINES:]


def _build_error(action: ActionRun) -> str:
    """Return CodePipeline's message. If a gate's build timed out, add how to get a longer build."""
    decides = action.name == ROLLBACK or action.stage in DECIDING
    if decides:  # its time limit is in the template
        return action.error
    if "timed out" in action.error.lower() or "TIMED_OUT" in action.error:
        return (
            f"{action.error.rstrip('.')}. For a longer time limit, give the gate more minutes in [time_limits] of "
            "usecase.toml, then mlops deploy-infra."
        )
    return action.error
