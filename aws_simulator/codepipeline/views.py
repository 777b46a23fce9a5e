"""Pipelines, executions and actions as the API describes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aws_simulator.codepipeline.lag import ARN, DETAILS, Views
from aws_simulator.codepipeline.records import FAILED, IN_PROGRESS, Action, Artifact, Execution, Pipeline, Stage


def state(pipeline: Pipeline, views: Views) -> dict[str, Any]:
    return {
        "pipelineName": pipeline.name,
        "pipelineVersion": pipeline.version,
        "stageStates": [_stage(pipeline, stage, views) for stage in pipeline.stages.values()],
        "created": pipeline.created,
        "updated": pipeline.updated,
    }


def _stage(pipeline: Pipeline, stage: Stage, views: Views) -> dict[str, Any]:
    declared = next(one for one in pipeline.declaration["stages"] if one["name"] == stage.name)
    waiting = [{"pipelineExecutionId": one.id, "status": one.status, "type": one.kind} for one in stage.waiting]
    transition: dict[str, Any] = {"enabled": stage.enabled}
    if stage.changed:
        transition.update(lastChangedBy=stage.changed_by, lastChangedAt=stage.changed)
    if stage.reason:
        transition["disabledReason"] = stage.reason
    answer: dict[str, Any] = {
        "stageName": stage.name,
        "inboundExecutions": waiting,
        "inboundTransitionState": transition,
        "actionStates": [_action_state(pipeline, stage, one["name"], views) for one in declared["actions"]],
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
    """A stage whose execution is asked to stop is Stopping as long as its actions run."""
    if stage.latest and stage.holder is stage.latest and stage.latest.status == "Stopping":
        return "Stopping"
    return stage.latest_status


def _action_state(pipeline: Pipeline, stage: Stage, name: str, views: Views) -> dict[str, Any]:
    """An approval in progress has no time, and of an older version of the pipeline no token: it counts as failed."""
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
    found: dict[str, Any] = {
        "externalExecutionId": _external_id(action, views),
        "externalExecutionUrl": action.external_url,
        "logStreamARN": action.log_stream,
    }
    if action.error:
        text = {"message": action.error[1]} if texts == DETAILS or not action.summary else {}
        found["errorDetails"] = {"code": action.error[0], **text}
    return {name: value for name, value in found.items() if value}


def _external_id(action: Action, views: Views) -> str:
    if action.declaration["actionTypeId"]["provider"] != "StepFunctions" or views.external == ARN:
        return action.external_id
    return "" if action.status == IN_PROGRESS else action.external_id.rpartition(":")[2]


def execution(one: Execution) -> dict[str, Any]:
    return {
        "pipelineName": one.pipeline.name,
        "pipelineVersion": one.declaration["version"],
        "pipelineExecutionId": one.id,
        "status": one.status,
        **({"statusSummary": one.summary} if one.summary else {}),
        "artifactRevisions": [_revision(name, source) for name, source in _by_artifact(one)],
        "variables": [{"name": name, "resolvedValue": value} for name, value in one.variables.items()],
        **_how(one),
    }


def summary(one: Execution) -> dict[str, Any]:
    sources = [{"actionName": name, **source} for name, source in one.sources.items()]
    return {
        "pipelineExecutionId": one.id,
        "status": one.status,
        **({"statusSummary": one.summary} if one.summary else {}),
        "startTime": one.started,
        "lastUpdateTime": one.updated,
        "sourceRevisions": sources,
        **({"stopTrigger": {"reason": one.stop_reason}} if one.stop_reason is not None else {}),
        **_how(one),
    }


def _how(one: Execution) -> dict[str, Any]:
    """What started it, and in which mode."""
    rollback = {"rollbackTargetPipelineExecutionId": one.rollback_of} if one.rollback_of else None
    return {
        "trigger": {"triggerType": one.trigger[0], "triggerDetail": one.trigger[1]},
        "executionMode": one.declaration["executionMode"],
        **({"executionType": one.kind, "rollbackMetadata": rollback} if rollback else {}),
    }


def _by_artifact(one: Execution) -> Iterable[tuple[str, dict[str, str]]]:
    for action in one.stages[0]["actions"]:
        if action["name"] in one.sources:
            yield action["outputArtifacts"][0]["name"], one.sources[action["name"]]


def _revision(name: str, source: dict[str, str]) -> dict[str, str]:
    known = {key: source[key] for key in ("revisionId", "revisionSummary", "revisionUrl") if key in source}
    return {"name": name, **known}


def action(one: Action, views: Views) -> dict[str, Any]:
    summary = {"externalExecutionSummary": one.summary} if one.summary else {}
    result = {**_external(one, views, views.texts), **summary}
    given: dict[str, Any] = {
        "actionTypeId": one.declaration["actionTypeId"],
        "configuration": one.declaration.get("configuration", {}),
        "resolvedConfiguration": one.configuration,
        "region": one.execution.pipeline.region,
        "inputArtifacts": _artifacts(one.inputs),
    }
    given.update({key: one.declaration[key] for key in ("roleArn", "namespace") if key in one.declaration})
    return {
        "pipelineExecutionId": one.execution.id,
        "actionExecutionId": one.id,
        "pipelineVersion": one.execution.declaration["version"],
        "stageName": one.stage,
        "actionName": one.name,
        "startTime": one.started,
        "lastUpdateTime": one.updated,
        **({"updatedBy": one.updated_by} if one.updated_by else {}),
        "status": one.status,
        "input": given,
        "output": {
            "outputArtifacts": _artifacts(one.outputs),
            **({"executionResult": result} if result else {}),
            "outputVariables": one.variables,
        },
    }


def _artifacts(found: list[Artifact]) -> list[dict[str, Any]]:
    return [{"name": one.name, "s3location": {"bucket": one.bucket, "key": one.key}} for one in found]
