"""Find the pipeline, execution or approval that a request names, or raise the service's error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_simulator.errors import ServiceError
from aws_simulator.service import Request
from aws_simulator.services.codepipeline.records import (
    ENDED,
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    Action,
    Execution,
    Pipeline,
    Stage,
)

if TYPE_CHECKING:
    from aws_simulator.services.codepipeline.service import CodePipeline

REVISION_TYPES = {
    "S3": {"S3_OBJECT_VERSION_ID", "S3_OBJECT_KEY"},
    "CodeCommit": {"COMMIT_ID"},
    "CodeStarSourceConnection": {"COMMIT_ID"},
}


def pipeline(service: CodePipeline, name: str) -> Pipeline:
    if name not in service.pipelines:
        message = f"Account does not have a pipeline with name '{name}'"
        raise ServiceError("PipelineNotFoundException", message)
    return service.pipelines[name]


def execution(service: CodePipeline, request: Request) -> Execution:
    target = pipeline(service, request["pipelineName"])
    identity = request["pipelineExecutionId"]
    if identity not in target.executions:
        message = f"Cannot find a pipeline execution with id {identity} for pipeline {target.name}"
        raise ServiceError("PipelineExecutionNotFoundException", message)
    return target.executions[identity]


def stage(target: Pipeline, name: str) -> Stage:
    if name not in target.stages:
        raise ServiceError("StageNotFoundException", f"Pipeline {target.name} has no stage {name}")
    return target.stages[name]


def tagged(service: CodePipeline, request: Request) -> Pipeline:
    name = request["resourceArn"].rpartition(":")[2]
    if name not in service.pipelines:
        raise ServiceError("ResourceNotFoundException", f"There is no {request['resourceArn']}")
    return service.pipelines[name]


def started(target: Pipeline, request: Request) -> tuple[dict[str, str], dict[str, tuple[str, str]]]:
    """Return the variables and source revisions of a start."""
    declared = {variable["name"]: variable for variable in target.declaration.get("variables", [])}
    variables = {variable["name"]: variable["value"] for variable in request.get("variables", [])}
    if unknown := sorted(set(variables) - set(declared)):
        raise ServiceError("ValidationException", f"Variable {unknown[0]} is not declared in pipeline {target.name}")
    missing = [name for name, variable in declared.items() if "defaultValue" not in variable and name not in variables]
    if missing:
        raise ServiceError("ValidationException", f"Variable {missing[0]} has no default value and none was given")
    actions = {action["name"]: action for action in target.declaration["stages"][0]["actions"]}
    revisions = {}
    for revision in request.get("sourceRevisions", []):
        _check_revision(revision, actions.get(revision["actionName"]))
        revisions[revision["actionName"]] = (revision["revisionType"], revision["revisionValue"])
    return variables, revisions


def _check_revision(revision: Request, action: Request | None) -> None:
    name, kind = revision["actionName"], revision["revisionType"]
    if action is None:
        raise ServiceError("ValidationException", f"There is no source action {name}")
    if kind not in REVISION_TYPES[action["actionTypeId"]["provider"]]:
        raise ServiceError("ValidationException", f"Revision type {kind} does not fit source action {name}")
    allowed = action.get("configuration", {}).get("AllowOverrideForS3ObjectKey", "false")
    if kind == "S3_OBJECT_KEY" and allowed != "true":
        raise ServiceError("ValidationException", f"Source action {name} does not allow another object key")


def actions(service: CodePipeline, request: Request) -> list[Action]:
    """Return the actions, the newest first; for one execution, on request, only the latest of each action."""
    target = pipeline(service, request["pipelineName"])
    filters = request.get("filter") or {}
    latest = filters.get("latestInPipelineExecution") or {}
    identity = latest.get("pipelineExecutionId") or filters.get("pipelineExecutionId")
    if identity is None:
        rows = [action for execution in target.executions.values() for action in execution.actions]
        return sorted(rows, key=lambda action: action.started, reverse=True)
    rows = execution(service, {**request, "pipelineExecutionId": identity}).actions
    if latest.get("startTimeRange") == "Latest":
        rows = list({(action.stage, action.name): action for action in rows}.values())
    return rows[::-1]


def approval(service: CodePipeline, request: Request) -> Action:
    """Return the approval that waits for the request's token."""
    target = stage(pipeline(service, request["pipelineName"]), request["stageName"])
    names = {declaration["name"]: declaration for declaration in _declared(service, request)}
    name, token = request["actionName"], request["token"]
    if name not in names or names[name]["actionTypeId"]["category"] != "Approval":
        raise ServiceError("ActionNotFoundException", f"Stage {target.name} has no approval action {name}")
    action = target.actions.get(name)
    if action is None or not action.token or action.token != token or action.execution.is_outdated:
        raise ServiceError("InvalidApprovalTokenException", "The approval token is not valid for this action.")
    if action.status != IN_PROGRESS:
        raise ServiceError("ApprovalAlreadyCompletedException", "The approval action has already been completed.")
    return action


def _declared(service: CodePipeline, request: Request) -> list[Request]:
    stages = service.pipelines[request["pipelineName"]].declaration["stages"]
    return [action for state in stages if state["name"] == request["stageName"] for action in state["actions"]]


def retried(service: CodePipeline, request: Request) -> tuple[Execution, Stage]:
    """Return the execution, and the stage in which it failed or was stopped, unless a newer one has been there."""
    target = pipeline(service, request["pipelineName"])
    where = stage(target, request["stageName"])
    execution = target.executions.get(request["pipelineExecutionId"])
    if execution is None or where.latest is not execution:
        message = f"Execution {request['pipelineExecutionId']} is not the latest in stage {where.name}"
        raise ServiceError("NotLatestPipelineExecutionException", message)
    if where.latest_status not in (FAILED, STOPPED):
        message = f"Stage {where.name} is {where.latest_status}, and cannot be retried"
        raise ServiceError("StageNotRetryableException", message)
    if where.holder is not None:
        raise ServiceError("ConflictException", f"Stage {where.name} is busy")
    return execution, where


def rolled_back(service: CodePipeline, request: Request) -> tuple[Pipeline, Stage, Execution]:
    chosen = pipeline(service, request["pipelineName"])
    where = stage(chosen, request["stageName"])
    target = execution(service, {**request, "pipelineExecutionId": request["targetPipelineExecutionId"]})
    if where.name == next(iter(chosen.stages)):
        raise ServiceError("UnableToRollbackStageException", "The first stage cannot be rolled back")
    if where.name not in target.passed or target.kind == "ROLLBACK":
        message = f"Execution {target.id} has not succeeded in stage {where.name}"
        raise ServiceError("UnableToRollbackStageException", message)
    if target.declaration["version"] != chosen.version:
        message = f"Execution {target.id} ran an older version of the pipeline"
        raise ServiceError("PipelineExecutionOutdatedException", message)
    return chosen, where, target


def stopped(service: CodePipeline, request: Request) -> Execution:
    target = pipeline(service, request["pipelineName"])
    execution = target.executions.get(request["pipelineExecutionId"])
    if execution is None or execution.status in ENDED:
        state = f"is {execution.status}" if execution else "does not exist"
        message = f"Pipeline execution {request['pipelineExecutionId']} {state} and cannot be stopped"
        raise ServiceError("PipelineExecutionNotStoppableException", message)
    if execution.status == STOPPING and not request.get("abandon"):
        raise ServiceError("DuplicatedStopRequestException", f"Pipeline execution {execution.id} is already stopping")
    return execution


def transition(service: CodePipeline, request: Request) -> Stage:
    if request["transitionType"] != "Inbound":
        raise ServiceError("ValidationException", "the simulator does only Inbound transitions")
    return stage(pipeline(service, request["pipelineName"]), request["stageName"])
