"""CodePipeline: executions, what became of their actions, and the verbs that start, retry, stop and decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.backends.aws.source import Revision
from mlops_cli.errors import MlopsError

SOURCE_ACTION = "source"
SUMMARY_LENGTH = 512
REASON_LENGTH = 200
SUPERSEDED_BY = "superseded by run "
CREATED = "CreatePipeline"
IN_PROGRESS, SUCCEEDED, FAILED, ABANDONED = "InProgress", "Succeeded", "Failed", "Abandoned"
ENDED = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
GONE = ("PipelineExecutionNotFoundException", "ValidationException")


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
    who: str = ""
    said: str = ""
    external: str = ""
    error: str = ""


class Pipeline:
    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self.name = name

    def executions(self) -> Iterator[Execution]:
        """The newest first; without the one that CodePipeline starts by itself when the pipeline is created."""
        found = self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
        every = (_execution(one) for one in found)
        return (one for one in every if one.trigger != CREATED)

    def execution(self, execution_id: str) -> Execution:
        """Raises MlopsError when there is none of this id."""
        found = next((one for one in self.executions() if one.id == execution_id), None)
        if found is None:
            raise MlopsError(f"The pipeline {self.name} has no run {execution_id}.", "See which there are: mlops runs")
        return found

    def variables(self, execution_id: str) -> dict[str, str]:
        """The pipeline variables that an execution was started with."""
        found = self._client.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution_id)
        return {one["name"]: one["resolvedValue"] for one in found["pipelineExecution"].get("variables", ())}

    def actions(self, execution_id: str) -> list[ActionRun]:
        """What became of the actions of an execution, retried ones too, in the order in which they began."""
        found = self._client.pages(
            "list_action_executions",
            "actionExecutionDetails",
            pipelineName=self.name,
            filter={"pipelineExecutionId": execution_id},
        )
        return sorted((_action(one) for one in found), key=lambda action: action.started)

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
        found = self._client.pages("list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=self.name)
        for one in found:
            if _execution(one).trigger == CREATED and one["status"] not in ENDED:
                self.stop(one["pipelineExecutionId"], "mlops run starts the first run")

    def token(self, execution_id: str, stage: str, action: str) -> str:
        """What a decision about this very execution must be sent with; empty when it does not wait for one."""
        found = self._stage(stage)
        if found.get("latestExecution", {}).get("pipelineExecutionId") != execution_id:
            return ""
        waiting = [one["latestExecution"] for one in found["actionStates"] if one["actionName"] == action]
        return next((str(one["token"]) for one in waiting if one["status"] == IN_PROGRESS and "token" in one), "")

    def holder(self, execution_id: str, stage: str) -> str:
        """The execution that is in a stage while this one is queued before it; empty when it is not queued there."""
        found = self._stage(stage)
        arrived = [*found.get("inboundExecutions", ()), found.get("inboundExecution") or {}]
        queued = any(one.get("pipelineExecutionId") == execution_id for one in arrived)
        return str(found.get("latestExecution", {}).get("pipelineExecutionId", "")) if queued else ""

    def _stage(self, name: str) -> dict[str, Any]:
        state = self._client.get_pipeline_state(name=self.name)
        return next((one for one in state.get("stageStates", ()) if one["stageName"] == name), {})

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


def _execution(found: Mapping[str, Any]) -> Execution:
    revisions = [one.get("revisionId", "") for one in found.get("sourceRevisions", ())]
    return Execution(
        id=found["pipelineExecutionId"],
        status=found["status"],
        started=found["startTime"].timestamp(),
        revision=next(iter(revisions), ""),
        trigger=found.get("trigger", {}).get("triggerType", ""),
        stopped_because=found.get("stopTrigger", {}).get("reason", ""),
        summary=found.get("statusSummary", ""),
    )


def _action(found: Mapping[str, Any]) -> ActionRun:
    result = found.get("output", {}).get("executionResult", {})
    return ActionRun(
        stage=found["stageName"],
        name=found["actionName"],
        status=found["status"],
        started=found["startTime"].timestamp(),
        updated=found["lastUpdateTime"].timestamp(),
        provider=found.get("input", {}).get("actionTypeId", {}).get("provider", ""),
        who=found.get("updatedBy", ""),
        said=result.get("externalExecutionSummary", ""),
        external=result.get("externalExecutionId", ""),
        error=result.get("errorDetails", {}).get("message", ""),
    )
