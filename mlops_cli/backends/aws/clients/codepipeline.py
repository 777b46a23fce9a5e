"""CodePipeline: executions, what became of their actions, and the verbs that start, retry, stop and decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.errors import MlopsError

SOURCE_ACTION = "source"
SUMMARY_LENGTH = 512
REASON_LENGTH = 200
SUPERSEDED_BY = "superseded by run "
CREATED = "CreatePipeline"
IN_PROGRESS, SUCCEEDED, FAILED, ABANDONED = "InProgress", "Succeeded", "Failed", "Abandoned"
ENDED = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


@dataclass(frozen=True)
class Execution:
    """``revision`` is what it took from the source: a commit or an object's version. Times in seconds."""

    id: str
    status: str
    started: float
    revision: str = ""
    trigger: str = ""
    stopped_because: str = ""
    summary: str = ""


@dataclass(frozen=True)
class ActionRun:
    """One execution of an action; ``who`` is the ARN of whoever decided, ``external`` what a build or job is called."""

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


class Pipeline:
    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def executions(self) -> Iterator[Execution]:
        """The newest first; without the one that CodePipeline starts by itself when the pipeline is created."""
        summaries = self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
        executions = (_execution(summary) for summary in summaries)
        return (execution for execution in executions if execution.trigger != CREATED)

    def execution(self, execution_id: str) -> Execution:
        """Raises MlopsError when there is none of this id."""
        execution = next((candidate for candidate in self.executions() if candidate.id == execution_id), None)
        if execution is None:
            raise MlopsError(f"The pipeline {self.name} has no run {execution_id}.", "See which there are: mlops runs")
        return execution

    def variables(self, execution_id: str) -> dict[str, str]:
        """The pipeline variables that an execution was started with; none while CodePipeline does not know it yet."""
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
        """What became of the actions of an execution, retried ones too, in the order in which they began."""
        details = self._client.pages(
            "list_action_executions",
            "actionExecutionDetails",
            pipelineName=self.name,
            filter={"pipelineExecutionId": execution_id},
        )
        return sorted((_action(detail) for detail in details), key=lambda action: action.started)

    def start(self, variables: Mapping[str, str], revision: Revision | None, token: str) -> str:
        """Start an execution and give its id; again with the same token within minutes, it gives the same one."""
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
        """Run a failed stage anew, all of it; False when CodePipeline cannot any more, since a newer one went by."""
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
        """Stop an execution at once, and with it what it waits for; one that has ended is left as it is."""
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

    def stop_first(self) -> None:
        """Stop what CodePipeline has started by itself when the pipeline was created, before there is any data."""
        summaries = self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
        for summary in summaries:
            if _execution(summary).trigger == CREATED and summary["status"] not in ENDED:
                self.stop(summary["pipelineExecutionId"], "mlops run starts the first run")

    def token(self, execution_id: str, stage: str, action: str) -> str:
        """What a decision about this very execution must be sent with; empty when it does not wait for one."""
        state = self._stage(stage)
        if state.get("latestExecution", {}).get("pipelineExecutionId") != execution_id:
            return ""
        waiting = [
            action_state["latestExecution"]
            for action_state in state["actionStates"]
            if action_state["actionName"] == action
        ]
        return next(
            (
                str(execution["token"])
                for execution in waiting
                if execution["status"] == IN_PROGRESS and "token" in execution
            ),
            "",
        )

    def holder(self, execution_id: str, stage: str) -> str:
        """The execution that is in a stage while this one is queued before it; empty when it is not queued there."""
        state = self._stage(stage)
        arrived = [*state.get("inboundExecutions", ()), state.get("inboundExecution") or {}]
        queued = any(inbound.get("pipelineExecutionId") == execution_id for inbound in arrived)
        return str(state.get("latestExecution", {}).get("pipelineExecutionId", "")) if queued else ""

    def _stage(self, name: str) -> dict[str, Any]:
        state = self._client.get_pipeline_state(name=self.name)
        return next((stage for stage in state.get("stageStates", ()) if stage["stageName"] == name), {})

    def decide(self, stage: str, action: str, approved: bool, summary: str, token: str) -> bool:
        """Send a decision; False when it does not wait for one any more."""
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
    return ActionRun(
        stage=detail["stageName"],
        name=detail["actionName"],
        status=detail["status"],
        started=detail["startTime"].timestamp(),
        updated=detail["lastUpdateTime"].timestamp(),
        provider=detail.get("input", {}).get("actionTypeId", {}).get("provider", ""),
        actor=detail.get("updatedBy", ""),
        summary=result.get("externalExecutionSummary", ""),
        external=result.get("externalExecutionId", ""),
        error=result.get("errorDetails", {}).get("message", ""),
    )


@dataclass(frozen=True)
class Revision:
    """What a pipeline execution starts from, in CodePipeline's words."""

    type: str
    value: str
