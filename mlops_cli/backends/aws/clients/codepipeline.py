"""CodePipeline: executions, the states of their actions, and calls that start, retry, stop and approve."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.errors import MlopsError

SOURCE_ACTION = "source"
STEP_FUNCTIONS = "StepFunctions"
SUMMARY_LENGTH = 512
REASON_LENGTH = 200
SUPERSEDED_BY = "superseded by run "
CREATED = "CreatePipeline"
IN_PROGRESS, SUCCEEDED, FAILED, ABANDONED = "InProgress", "Succeeded", "Failed", "Abandoned"
ENDED = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
# CodePipeline's API is late: for up to ten seconds an approval has no token, and an execution is not listed or has no
# revision.
LATE_SECONDS, LOOK_SECONDS = 30.0, 1.0


@dataclass(frozen=True)
class Execution:
    """``revision``: the source revision, a commit or an object's version. Times are in seconds.

    ``is_outdated``: the pipeline was changed while this execution waited. It cannot continue and accepts no decision.
    """

    id: str
    status: str
    started: float
    revision: str = ""
    trigger: str = ""
    stopped_because: str = ""
    summary: str = ""
    is_outdated: bool = False


@dataclass(frozen=True)
class ActionRun:
    """One execution of an action.

    ``actor``: the approver's ARN. ``external``: the id of the build, or the ARN of the state machine's execution.
    ``version``: the version of the pipeline. ``variables``: the variables that the build exported.
    """

    stage: str
    name: str
    status: str
    started: float
    updated: float
    provider: str = ""
    actor: str = ""
    summary: str = ""
    external: str = ""
    error: str = ""
    version: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)


class Pipeline:
    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def executions(self) -> Iterator[Execution]:
        """Yield executions, the newest first. Skip the one that CodePipeline starts when it creates a pipeline."""
        summaries = self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
        executions = (_execution(summary) for summary in summaries)
        return (execution for execution in executions if execution.trigger != CREATED)

    def execution(self, execution_id: str) -> Execution:
        """Return the execution. Raise MlopsError for an unknown id."""
        execution = next((candidate for candidate in self.executions() if candidate.id == execution_id), None)
        if execution is None:
            raise MlopsError(f"The pipeline {self.name} has no run {execution_id}.", "List the runs: mlops runs")
        return execution

    def variables(self, execution_id: str) -> dict[str, str]:
        """Return the pipeline variables of an execution; none if CodePipeline does not list it yet."""
        try:
            description = self._client.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution_id)
        except AwsError as error:
            if error.code == "PipelineExecutionNotFoundException":
                return {}
            raise
        return {
            variable["name"]: variable["resolvedValue"]
            for variable in description["pipelineExecution"].get("variables", ())
        }

    def actions(self, execution_id: str) -> list[ActionRun]:
        """Return all actions of an execution, retried ones included, by start time; none for an unknown one.

        CodePipeline lists a new execution only after some seconds, and forgets an old one after a year.
        """
        details = self._client.pages(
            "list_action_executions",
            "actionExecutionDetails",
            pipelineName=self.name,
            filter={"pipelineExecutionId": execution_id},
        )
        try:
            return sorted((_action(detail) for detail in details), key=lambda action: action.started)
        except AwsError as error:
            if error.code == "PipelineExecutionNotFoundException":
                return []
            raise

    def start(self, variables: Mapping[str, str], revision: Revision | None, token: str) -> str:
        """Start an execution and return its id. Within minutes, the same token returns the same execution."""
        named = [{"name": name, "value": value} for name, value in variables.items()]
        source = (
            {"actionName": SOURCE_ACTION, "revisionType": revision.type, "revisionValue": revision.value}
            if revision
            else None
        )
        answer = self._client.start_pipeline_execution(
            name=self.name,
            variables=named,
            clientRequestToken=token,
            **({"sourceRevisions": [source]} if source else {}),
        )
        return str(answer["pipelineExecutionId"])

    def retry(self, execution_id: str, stage: str) -> bool:
        """Run a failed stage again as a whole. Return False if this is impossible: a newer execution has passed it."""
        try:
            self._client.retry_stage_execution(
                pipelineName=self.name, stageName=stage, pipelineExecutionId=execution_id, retryMode="ALL_ACTIONS"
            )
        except AwsError as error:
            if error.code in ("NotLatestPipelineExecutionException", "StageNotRetryableException", "ConflictException"):
                return False
            raise
        return True

    def stop(self, execution_id: str, reason: str) -> None:
        """Stop an execution at once, including its pending approval. Nothing happens if it has finished."""
        try:
            self._client.stop_pipeline_execution(
                pipelineName=self.name,
                pipelineExecutionId=execution_id,
                abandon=True,
                reason=reason[:REASON_LENGTH],
            )
        except AwsError as error:
            if error.code not in ("PipelineExecutionNotStoppableException", "DuplicatedStopRequestException"):
                raise

    def stop_first(self, is_new: bool) -> None:
        """Stop the execution that CodePipeline starts when it creates a pipeline, because there is no data yet.

        With a new pipeline, wait for this execution: CodePipeline lists it some time after it has created the pipeline.
        """
        deadline = time.monotonic() + (LATE_SECONDS if is_new else 0.0)
        while True:
            summaries = list(
                self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
            )
            first = [summary for summary in summaries if _execution(summary).trigger == CREATED]
            for summary in first:
                if summary["status"] not in ENDED:
                    self.stop(summary["pipelineExecutionId"], "mlops run starts the first run")
            if first or time.monotonic() >= deadline:
                return
            time.sleep(LOOK_SECONDS)

    def with_revision(self, execution: Execution) -> Execution:
        """Return the execution with its source revision, which is known once its first action is in progress."""
        deadline = time.monotonic() + LATE_SECONDS
        while not execution.revision and execution.status == IN_PROGRESS and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            execution = next((current for current in self.executions() if current.id == execution.id), execution)
        return execution

    def under_way(self) -> Execution | None:
        """Return the newest execution in progress. If the pipeline is changed now, this execution can never finish."""
        running = (execution for execution in self.executions() if execution.status == IN_PROGRESS)
        return next((execution for execution in running if not self.is_outdated(self.actions(execution.id))), None)

    def is_outdated(self, actions: Sequence[ActionRun]) -> bool:
        """Return True if the pipeline was changed after these actions of an execution began.

        Then CodePipeline stops the execution from continuing, accepts no decision for it, and still lists it as in
        progress.
        """
        version = max((action.version for action in actions), default=0)
        return 0 < version < int(self._client.get_pipeline_state(name=self.name).get("pipelineVersion", 0))

    def awaited_token(self, execution_id: str, stage: str, action: str) -> str:
        """Return the approval token once CodePipeline shows it; empty if no action waits for a decision any more."""
        deadline = time.monotonic() + LATE_SECONDS
        while not (token := self.token(execution_id, stage, action)) and time.monotonic() < deadline:
            action_runs = [run for run in self.actions(execution_id) if (run.stage, run.name) == (stage, action)]
            if not action_runs or action_runs[-1].status != IN_PROGRESS:
                break
            time.sleep(LOOK_SECONDS)
        return token

    def token(self, execution_id: str, stage: str, action: str) -> str:
        """Return the approval token of this execution; empty if it does not wait for approval."""
        state = self._stage(stage)
        if state.get("latestExecution", {}).get("pipelineExecutionId") != execution_id:
            return ""
        waiting = [
            action_state.get("latestExecution", {})
            for action_state in state.get("actionStates", ())
            if action_state["actionName"] == action
        ]
        return next(
            (
                str(execution["token"])
                for execution in waiting
                if execution.get("status") == IN_PROGRESS and "token" in execution
            ),
            "",
        )

    def holder(self, execution_id: str, stage: str) -> str:
        """Return the execution in the stage that this one is queued for; empty if it is not queued there."""
        state = self._stage(stage)
        arrived = [*state.get("inboundExecutions", ()), state.get("inboundExecution") or {}]
        queued = any(inbound.get("pipelineExecutionId") == execution_id for inbound in arrived)
        return str(state.get("latestExecution", {}).get("pipelineExecutionId", "")) if queued else ""

    def _stage(self, name: str) -> dict[str, Any]:
        state = self._client.get_pipeline_state(name=self.name)
        return next((stage for stage in state.get("stageStates", ()) if stage["stageName"] == name), {})

    def decide(self, stage: str, action: str, approved: bool, summary: str, token: str) -> bool:
        """Send a decision. Return False if the execution does not wait for one any more."""
        try:
            self._client.put_approval_result(
                pipelineName=self.name,
                stageName=stage,
                actionName=action,
                result={"summary": summary[:SUMMARY_LENGTH], "status": "Approved" if approved else "Rejected"},
                token=token,
            )
        except AwsError as error:
            if error.code in ("ApprovalAlreadyCompletedException", "InvalidApprovalTokenException"):
                return False
            raise
        return True


def _execution(summary: Mapping[str, Any]) -> Execution:
    revisions = [revision.get("revisionId", "") for revision in summary.get("sourceRevisions", ())]
    return Execution(
        id=summary["pipelineExecutionId"],
        status=summary["status"],
        started=summary["startTime"].timestamp(),
        revision=next(iter(revisions), ""),
        trigger=summary.get("trigger", {}).get("triggerType", ""),
        stopped_because=summary.get("stopTrigger", {}).get("reason", ""),
        summary=summary.get("statusSummary", ""),
    )


def _action(detail: Mapping[str, Any]) -> ActionRun:
    result = detail.get("output", {}).get("executionResult", {})
    summary = result.get("externalExecutionSummary", "")
    failure = summary if detail["status"] == FAILED else ""
    return ActionRun(
        stage=detail["stageName"],
        name=detail["actionName"],
        status=detail["status"],
        started=detail["startTime"].timestamp(),
        updated=detail["lastUpdateTime"].timestamp(),
        provider=detail.get("input", {}).get("actionTypeId", {}).get("provider", ""),
        actor=detail.get("updatedBy", ""),
        summary=summary,
        external=_external(detail, result.get("externalExecutionId", "")),
        error=result.get("errorDetails", {}).get("message") or failure,
        version=int(detail.get("pipelineVersion", 0)),
        variables=detail.get("output", {}).get("outputVariables", {}),
    )


def _external(detail: Mapping[str, Any], external: str) -> str:
    """Return the id of an action's work: of a build its id, of a state machine's execution its ARN.

    CodePipeline gives the action and the state machine's execution the same id, so the ARN is built from it.
    """
    action_input = detail.get("input", {})
    machine = action_input.get("configuration", {}).get("StateMachineArn", "")
    if (
        action_input.get("actionTypeId", {}).get("provider") != STEP_FUNCTIONS
        or external.startswith("arn:")
        or not machine
    ):
        return str(external)
    return f"{machine.replace(':stateMachine:', ':execution:')}:{detail['actionExecutionId']}"


@dataclass(frozen=True)
class Revision:
    """The source revision of an execution, in CodePipeline's terms."""

    type: str
    value: str
