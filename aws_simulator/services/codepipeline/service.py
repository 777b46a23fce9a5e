"""The CodePipeline API."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.service import Request, Service, operation, page
from aws_simulator.services.codecommit.git import Git
from aws_simulator.services.codepipeline import declaration, requests, views
from aws_simulator.services.codepipeline.actions import RUN, ActionError, Job
from aws_simulator.services.codepipeline.actions.job import AbandonedError, failure
from aws_simulator.services.codepipeline.engine import Engine
from aws_simulator.services.codepipeline.lag import Views
from aws_simulator.services.codepipeline.records import FAILED, IN_PROGRESS, SUCCEEDED, Action, Execution, Pipeline, now

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

ARN = "arn:aws:codepipeline:{region}:{account}:"
PIPELINE = ARN + "{pipelineName}"
STAGE = PIPELINE + "/{stageName}"
PASSES = {"pipeline.roleArn": "codepipeline.amazonaws.com"}
MOST_QUEUED = 50
BAD_TOKEN = "InvalidNextTokenException"


class CodePipeline(Service):
    name = "codepipeline"

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.pipelines: dict[str, Pipeline] = {}
        self.github: dict[str, Git] = {}
        """What stands for the repositories behind connections, by owner/name."""
        self.engine = Engine(self._start)
        self.views = Views()

    def clear(self) -> None:
        with self.lock:
            for pipeline in self.pipelines.values():
                self._abandon(pipeline)
            self.pipelines.clear()
            self.github.clear()
        self.views.clear()

    @operation(ARN + "{pipeline.name}", passes=PASSES)
    def create_pipeline(self, request: Request, caller: Caller) -> dict[str, Any]:
        submitted = request["pipeline"]
        if submitted["name"] in self.pipelines:
            raise ServiceError(
                "PipelineNameInUseException", f"A pipeline with the name '{submitted['name']}' already exists"
            )
        declaration.check(submitted)
        stored = {"executionMode": "SUPERSEDED", "pipelineType": "V1", **copy.deepcopy(submitted), "version": 1}
        tags = {tag["key"]: tag["value"] for tag in request.get("tags", [])}
        pipeline = Pipeline(stored, caller.account, caller.region, tags, versions=[stored])
        pipeline.restructure()
        self.pipelines[pipeline.name] = pipeline
        self.begin(pipeline, ("CreatePipeline", caller.arn), {}, {})
        return {"pipeline": stored, **({"tags": request["tags"]} if request.get("tags") else {})}

    @operation(ARN + "{name}")
    def get_pipeline(self, request: Request, caller: Caller) -> dict[str, Any]:
        pipeline = requests.pipeline(self, request["name"])
        version = request.get("version", pipeline.version)
        if not 1 <= version <= pipeline.version:
            raise ServiceError("PipelineVersionNotFoundException", f"{pipeline.name} has no version {version}")
        facts = {"pipelineArn": pipeline.arn, "created": pipeline.created, "updated": pipeline.updated}
        return {"pipeline": pipeline.versions[version - 1], "metadata": facts}

    @operation(ARN + "{pipeline.name}", passes=PASSES)
    def update_pipeline(self, request: Request, caller: Caller) -> dict[str, Any]:
        submitted = request["pipeline"]
        pipeline = self.pipelines.get(submitted["name"])
        if pipeline is None:
            raise ServiceError("ValidationException", f"Pipeline {submitted['name']} does not exist")
        declaration.check(submitted)
        pipeline.version += 1
        pipeline.updated = now()
        defaults = {"executionMode": "SUPERSEDED", "pipelineType": "V1"}
        pipeline.declaration = {**defaults, **copy.deepcopy(submitted), "version": pipeline.version}
        pipeline.versions.append(pipeline.declaration)
        pipeline.restructure()
        return {"pipeline": pipeline.declaration}

    @operation(ARN + "{name}")
    def delete_pipeline(self, request: Request, caller: Caller) -> None:
        pipeline = self.pipelines.pop(request["name"], None)
        if pipeline:
            self._abandon(pipeline)

    @operation(ARN + "*")
    def list_pipelines(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [
            {
                "name": pipeline.name,
                "version": pipeline.version,
                "pipelineType": pipeline.declaration["pipelineType"],
                "executionMode": pipeline.mode,
                "created": pipeline.created,
                "updated": pipeline.updated,
            }
            for pipeline in self.pipelines.values()
        ]
        return page(rows, request, "pipelines", "maxResults", "nextToken", size=1000, bad=BAD_TOKEN)

    @operation(ARN + "{name}")
    def start_pipeline_execution(self, request: Request, caller: Caller) -> dict[str, Any]:
        pipeline = requests.pipeline(self, request["name"])
        token = request.get("clientRequestToken", "")
        if token in pipeline.tokens:
            return {"pipelineExecutionId": pipeline.tokens[token]}
        variables, revisions = requests.started(pipeline, request)
        if sum(execution.status == IN_PROGRESS for execution in pipeline.executions.values()) >= MOST_QUEUED:
            message = f"The pipeline {pipeline.name} has {MOST_QUEUED} executions in progress"
            raise ServiceError("ConcurrentPipelineExecutionsLimitExceededException", message)
        execution = self.begin(pipeline, ("StartPipelineExecution", caller.arn), variables, revisions)
        if token:
            pipeline.tokens[token] = execution.id
        return {"pipelineExecutionId": execution.id}

    @operation(ARN + "{name}")
    def get_pipeline_state(self, request: Request, caller: Caller) -> dict[str, Any]:
        return views.state(requests.pipeline(self, request["name"]), self.views)

    @operation(PIPELINE)
    def get_pipeline_execution(self, request: Request, caller: Caller) -> dict[str, Any]:
        return {"pipelineExecution": views.execution(requests.execution(self, request))}

    @operation(PIPELINE)
    def list_pipeline_executions(self, request: Request, caller: Caller) -> dict[str, Any]:
        pipeline = requests.pipeline(self, request["pipelineName"])
        executions = [
            execution for execution in pipeline.executions.values() if self.views.is_listed(execution.started)
        ][::-1]
        if stage := ((request.get("filter") or {}).get("succeededInStage") or {}).get("stageName"):
            executions = [execution for execution in executions if stage in execution.passed]
        rows = [views.summary(execution) for execution in executions]
        return page(rows, request, "pipelineExecutionSummaries", "maxResults", "nextToken", bad=BAD_TOKEN)

    @operation(PIPELINE)
    def list_action_executions(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [views.action(action, self.views) for action in requests.actions(self, request)]
        return page(rows, request, "actionExecutionDetails", "maxResults", "nextToken", bad=BAD_TOKEN)

    @operation(STAGE + "/{actionName}")
    def put_approval_result(self, request: Request, caller: Caller) -> dict[str, Any]:
        action, result = requests.approval(self, request), request["result"]
        action.summary, action.updated_by = result["summary"], caller.arn
        self.engine.finished(action, SUCCEEDED if result["status"] == "Approved" else FAILED)
        return {"approvedAt": action.updated}

    @operation(STAGE)
    def retry_stage_execution(self, request: Request, caller: Caller) -> dict[str, Any]:
        execution, stage = requests.retried(self, request)
        self.engine.retry(execution, stage, request["retryMode"] == "ALL_ACTIONS")
        return {"pipelineExecutionId": execution.id}

    @operation(STAGE)
    def rollback_stage(self, request: Request, caller: Caller) -> dict[str, Any]:
        pipeline, stage, target = requests.rolled_back(self, request)
        execution = Execution(
            pipeline,
            target.declaration,
            ("ManualRollback", caller.arn),
            target.variables,
            kind="ROLLBACK",
            rollback_of=target.id,
            artifacts=dict(target.artifacts),
            sources=dict(target.sources),
            namespaces=copy.deepcopy(target.namespaces),
        )
        self.engine.begin(execution, stage.name)
        return {"pipelineExecutionId": execution.id}

    @operation(PIPELINE)
    def stop_pipeline_execution(self, request: Request, caller: Caller) -> dict[str, Any]:
        execution = requests.stopped(self, request)
        self.engine.stop(execution, request.get("abandon", False), request.get("reason", ""))
        return {"pipelineExecutionId": execution.id}

    @operation(STAGE)
    def disable_stage_transition(self, request: Request, caller: Caller) -> None:
        stage = requests.transition(self, request)
        stage.enabled, stage.reason, stage.changed_by, stage.changed = False, request["reason"], caller.arn, now()

    @operation(STAGE)
    def enable_stage_transition(self, request: Request, caller: Caller) -> None:
        stage = requests.transition(self, request)
        stage.enabled, stage.reason, stage.changed_by, stage.changed = True, "", caller.arn, now()
        self.engine.advance(self.pipelines[request["pipelineName"]])

    @operation("{resourceArn}")
    def list_tags_for_resource(self, request: Request, caller: Caller) -> dict[str, Any]:
        tags = requests.tagged(self, request).tags
        return {"tags": [{"key": key, "value": value} for key, value in tags.items()]}

    @operation("{resourceArn}")
    def tag_resource(self, request: Request, caller: Caller) -> None:
        requests.tagged(self, request).tags.update({tag["key"]: tag["value"] for tag in request["tags"]})

    @operation("{resourceArn}")
    def untag_resource(self, request: Request, caller: Caller) -> None:
        for key in request["tagKeys"]:
            requests.tagged(self, request).tags.pop(key, None)

    def begin(
        self,
        pipeline: Pipeline,
        trigger: tuple[str, str],
        variables: dict[str, str],
        revisions: dict[str, tuple[str, str]],
    ) -> Execution:
        """Start an execution."""
        declared = pipeline.declaration.get("variables", [])
        defaults = {variable["name"]: variable["defaultValue"] for variable in declared if "defaultValue" in variable}
        execution = Execution(pipeline, pipeline.declaration, trigger, {**defaults, **variables}, revisions)
        with self.lock:
            self.engine.begin(execution)
        return execution

    def _abandon(self, pipeline: Pipeline) -> None:
        for execution in pipeline.executions.values():
            for action in execution.actions:
                action.cancelled.set()

    def _start(self, action: Action) -> None:
        self.simulator.background(self._run, action)

    def _run(self, action: Action) -> None:
        """Run one action in its own thread."""
        status = SUCCEEDED
        try:
            self._perform(action)
        except ActionError as error:
            action.error, status = (error.code, str(error)[:5000]), FAILED
        except AbandonedError:
            return
        with self.lock:
            self.engine.finished(action, status)

    def _perform(self, action: Action) -> None:
        if action.error:
            raise ActionError(*action.error)
        kind = action.declaration["actionTypeId"]
        try:
            RUN[kind["category"], kind["provider"]](Job(self.simulator, action, self._role(action)))
        except ClientError as error:
            if action.cancelled.is_set():
                raise AbandonedError from error
            raise failure(error) from error
        except ServiceError as error:
            raise ActionError("PermissionError", error.message) from error

    def _role(self, action: Action) -> Caller:
        """Return the pipeline's role, or the action's own role, which the pipeline's role assumes."""
        pipeline = action.execution.declaration
        role = assume(pipeline["roleArn"], "codepipeline.amazonaws.com", action.id, action.execution.pipeline.arn)
        own = action.declaration.get("roleArn")
        if not own:
            return role
        sts = self.simulator.client("sts", role)
        key = sts.assume_role(RoleArn=own, RoleSessionName=action.id)["Credentials"]["AccessKeyId"]
        return Caller(key, role.account, role.region)
