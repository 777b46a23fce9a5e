"""Pipelines, executions and actions as the API describes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aws_simulator.services.codepipeline.lag import ARN, DETAILS, Views
from aws_simulator.services.codepipeline.records import (
    FAILED,
    IN_PROGRESS,
    Action,
    Artifact,
    Execution,
    Pipeline,
    Stage,
)


def state(pipeline: Pipeline, views: Views) -> dict[str, Any]:
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": pipeline.version,
        "stageStates": [_stage(pipeline, stage, views) for stage in pipeline.stages.values()],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _stage(pipeline: Pipeline, stage: Stage, views: Views) -> dict[str, Any]:
    declared = next(declaration for declaration in pipeline.declaration["stages"] if declaration["name"] == stage.name)
    waiting = [
        {"pipelineExecutionId": execution.id, "status": execution.status, "type": execution.kind}
        for execution in stage.waiting
    ]
    transition: dict[str, Any] = {"enabled": stage.enabled}
    if stage.changed:
        transition.update(lastChangedBy=stage.changed_by, lastChangedAt=stage.changed)
    if stage.reason:
        transition["disabledReason"] = stage.reason
    answer: dict[str, Any] = {
        "stageName": stage.name,
        "inboundExecutions": waiting,
        "inboundTransitionState": transition,
        "actionStates": [_action_state(pipeline, stage, action["name"], views) for action in declared["actions"]],
    }
    if waiting:
        answer["inboundExecution"] = waiting[0]
    if stage.latest:
        latest = {"pipelineExecutionId": stage.latest.id, "status": _stage_status(stage)}
        answer["latestExecution"] = latest
    if stage.retries:
        answer["retryStageMetadata"] = {
            "manualStageRetryAttempt": stage.retries,
            "latestRetryTrigger": "ManualStageRetry",
        }
    return answer


def _stage_status(stage: Stage) -> str:
    """Return the status. A stage whose execution is being stopped is Stopping while its actions run."""
    if stage.latest and stage.holder is stage.latest and stage.latest.status == "Stopping":
        return "Stopping"
    return stage.latest_status


def _action_state(pipeline: Pipeline, stage: Stage, name: str, views: Views) -> dict[str, Any]:
    """Return the state. An approval in progress has no time; with an outdated pipeline it has no token and failed."""
    action, status = views.shown(pipeline, stage.name, name)
    if action is None:
        return {"actionName": name}
    is_approval = action.declaration["actionTypeId"]["category"] == "Approval"
    waits = is_approval and status == IN_PROGRESS
    outdated = waits and action.execution.is_outdated
    latest: dict[str, Any] = {
        "actionExecutionId": action.id,
        "status": FAILED if outdated else status,
        **({} if waits else {"lastStatusChange": action.updated}),
        **({} if is_approval else _external(action, views, DETAILS)),
    }
    if action.summary and status != IN_PROGRESS:
        latest["summary"] = action.summary
    if action.token and waits and not outdated:
        latest["token"] = action.token
    if action.updated_by:
        latest["lastUpdatedBy"] = action.updated_by
    answer: dict[str, Any] = {"actionName": name, "latestExecution": latest}
    if action.external_url:
        answer["entityUrl"] = action.external_url
    source = action.execution.sources.get(name)
    if source and action.declaration["actionTypeId"]["category"] == "Source":
        answer["revisionUrl"] = source["revisionUrl"]
        revision = {"revisionId": source["revisionId"], "revisionChangeId": action.id, "created": action.updated}
        answer["currentRevision"] = revision
    return answer


def _external(action: Action, views: Views, texts: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "externalExecutionId": _external_id(action, views),
        "externalExecutionUrl": action.external_url,
        "logStreamARN": action.log_stream,
    }
    if action.error:
        text = {"message": action.error[1]} if texts == DETAILS or not action.summary else {}
        fields["errorDetails"] = {"code": action.error[0], **text}
    return {name: value for name, value in fields.items() if value}


def _external_id(action: Action, views: Views) -> str:
    if action.declaration["actionTypeId"]["provider"] != "StepFunctions" or views.external == ARN:
        return action.external_id
    return "" if action.status == IN_PROGRESS else action.external_id.rpartition(":")[2]


def execution(shown: Execution) -> dict[str, Any]:
    return {
        "pipelineName": shown.pipeline.name,
        "pipelineVersion": shown.declaration["version"],
        "pipelineExecutionId": shown.id,
        "status": shown.status,
        **({"statusSummary": shown.summary} if shown.summary else {}),
        "artifactRevisions": [_revision(name, source) for name, source in _by_artifact(shown)],
        "variables": [{"name": name, "resolvedValue": value} for name, value in shown.variables.items()],
        **_how(shown),
    }


def summary(shown: Execution) -> dict[str, Any]:
    sources = [{"actionName": name, **source} for name, source in shown.sources.items()]
    return {
        "pipelineExecutionId": shown.id,
        "status": shown.status,
        **({"statusSummary": shown.summary} if shown.summary else {}),
        "startTime": shown.started,
        "lastUpdateTime": shown.updated,
        "sourceRevisions": sources,
        **({"stopTrigger": {"reason": shown.stop_reason}} if shown.stop_reason is not None else {}),
        **_how(shown),
    }


def _how(shown: Execution) -> dict[str, Any]:
    """Return the trigger of the execution, and its mode."""
    rollback = {"rollbackTargetPipelineExecutionId": shown.rollback_of} if shown.rollback_of else None
    return {
        "trigger": {"triggerType": shown.trigger[0], "triggerDetail": shown.trigger[1]},
        "executionMode": shown.declaration["executionMode"],
        **({"executionType": shown.kind, "rollbackMetadata": rollback} if rollback else {}),
    }


def _by_artifact(shown: Execution) -> Iterable[tuple[str, dict[str, str]]]:
    for action in shown.stages[0]["actions"]:
        if action["name"] in shown.sources:
            yield action["outputArtifacts"][0]["name"], shown.sources[action["name"]]


def _revision(name: str, source: dict[str, str]) -> dict[str, str]:
    revision = {key: source[key] for key in ("revisionId", "revisionSummary", "revisionUrl") if key in source}
    return {"name": name, **revision}


def action(shown: Action, views: Views) -> dict[str, Any]:
    summary = {"externalExecutionSummary": shown.summary} if shown.summary else {}
    result = {**_external(shown, views, views.texts), **summary}
    fields: dict[str, Any] = {
        "actionTypeId": shown.declaration["actionTypeId"],
        "configuration": shown.declaration.get("configuration", {}),
        "resolvedConfiguration": shown.configuration,
        "region": shown.execution.pipeline.region,
        "inputArtifacts": _artifacts(shown.inputs),
    }
    fields.update({key: shown.declaration[key] for key in ("roleArn", "namespace") if key in shown.declaration})
    return {
        "pipelineExecutionId": shown.execution.id,
        "actionExecutionId": shown.id,
        "pipelineVersion": shown.execution.declaration["version"],
        "stageName": shown.stage,
        "actionName": shown.name,
        "startTime": shown.started,
        "lastUpdateTime": shown.updated,
        **({"updatedBy": shown.updated_by} if shown.updated_by else {}),
        "status": shown.status,
        "input": fields,
        "output": {
            "outputArtifacts": _artifacts(shown.outputs),
            **({"executionResult": result} if result else {}),
            "outputVariables": shown.variables,
        },
    }


def _artifacts(artifacts: list[Artifact]) -> list[dict[str, Any]]:
    return [
        {"name": artifact.name, "s3location": {"bucket": artifact.bucket, "key": artifact.key}}
        for artifact in artifacts
    ]
