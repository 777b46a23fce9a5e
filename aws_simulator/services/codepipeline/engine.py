"""Move executions through stages. Events drive the engine: a start, an action's end, a request. It never polls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aws_simulator.services.codepipeline import variables
from aws_simulator.services.codepipeline.records import (
    ABANDONED,
    FAILED,
    IN_PROGRESS,
    STOPPED,
    STOPPING,
    SUCCEEDED,
    SUPERSEDED,
    Action,
    Execution,
    Pipeline,
    Stage,
    now,
)


class Engine:
    """The caller of each method holds the service's lock.

    ``start`` runs an action elsewhere, which reports to ``finished``.
    """

    def __init__(self, start: Callable[[Action], Any]) -> None:
        self._start = start

    def begin(self, execution: Execution, stage: str = "") -> None:
        """Admit a new execution at the first stage, or for a rollback at the named one."""
        pipeline = execution.pipeline
        pipeline.executions[execution.id] = execution
        self._enqueue(execution, pipeline.stages[stage] if stage else next(iter(pipeline.stages.values())))
        self.advance(pipeline)

    def advance(self, pipeline: Pipeline) -> None:
        """Let waiting executions enter a stage that is free and open, the last stage first, so that it empties."""
        for stage in reversed(list(pipeline.stages.values())):
            if stage.holder is None and stage.enabled and stage.waiting:
                self._enter(stage.waiting.pop(0), stage)

    def finished(self, action: Action, status: str) -> None:
        """Handle the end of an action. Do nothing if it was abandoned."""
        if action.status != IN_PROGRESS:
            return
        execution, pipeline = action.execution, action.execution.pipeline
        action.status, action.updated, execution.updated = status, now(), now()
        if status == SUCCEEDED:
            execution.artifacts.update({artifact.name: artifact for artifact in action.outputs})
            if namespace := action.declaration.get("namespace"):
                execution.namespaces[namespace] = action.variables
        stage = pipeline.stages.get(action.stage)
        if stage is not None and stage.holder is execution:
            self._continue(execution, stage)
            self.advance(pipeline)

    def stop(self, execution: Execution, abandon: bool, reason: str) -> None:
        """Stop an execution at once if it waits for a stage or is abandoned; otherwise after its running actions."""
        execution.stop_reason = reason
        pipeline = execution.pipeline
        running = [action for action in execution.actions if action.status == IN_PROGRESS]
        for action in running if abandon else []:
            action.status, action.updated = ABANDONED, now()
            action.cancelled.set()
        if running and not abandon:
            execution.became(STOPPING)
            return
        for stage in pipeline.stages.values():
            stage.waiting = [waiting for waiting in stage.waiting if waiting is not execution]
            if stage.holder is execution:
                self._leave(execution, stage, STOPPED)
        execution.became(STOPPED)
        self.advance(pipeline)

    def retry(self, execution: Execution, stage: Stage, everything: bool) -> None:
        """Run the failed actions of a stage (or all of them) again in the same execution."""
        stage.retries += 1
        stage.holder, stage.latest_status = execution, IN_PROGRESS
        execution.stop_reason = None
        execution.became(IN_PROGRESS)
        succeeded = [action for action in execution.latest(stage.name).values() if action.status == SUCCEEDED]
        execution.attempts[stage.name] = kept = [] if everything else succeeded
        self._run(execution, stage, {action.name for action in kept})

    def _enqueue(self, execution: Execution, stage: Stage) -> None:
        if execution.pipeline.mode == "SUPERSEDED" and execution.kind == "STANDARD":
            for waiting in stage.waiting:
                waiting.summary = f"Superseded by {execution.id}"
                waiting.became(SUPERSEDED)
            stage.waiting.clear()
        stage.waiting.append(execution)

    def _enter(self, execution: Execution, stage: Stage) -> None:
        stage.holder = stage.latest = execution
        stage.latest_status, stage.retries = IN_PROGRESS, 0
        execution.attempts[stage.name] = []
        self._run(execution, stage, set())

    def _run(self, execution: Execution, stage: Stage, done: set[str]) -> None:
        """Start the first group of actions with equal runOrder that is not completely done."""
        declared = next(declaration for declaration in execution.stages if declaration["name"] == stage.name)["actions"]
        remaining = [action for action in declared if action["name"] not in done]
        order = min((action.get("runOrder", 1) for action in remaining), default=None)
        for declaration in [action for action in remaining if action.get("runOrder", 1) == order]:
            self._begin_action(Action(declaration, stage.name, execution), stage)
        if not remaining:
            self._succeed(execution, stage)

    def _begin_action(self, action: Action, stage: Stage) -> None:
        execution = action.execution
        execution.actions.append(action)
        execution.attempts[stage.name].append(action)
        stage.actions[action.name] = action
        values = {
            "codepipeline": {"PipelineExecutionId": execution.id},
            "variables": execution.variables,
            **execution.namespaces,
        }
        try:
            configuration = action.declaration.get("configuration", {})
            action.configuration = {key: variables.resolved(value, values) for key, value in configuration.items()}
        except variables.UnresolvedError as error:
            action.error = ("InvalidActionConfiguration", str(error))
        action.inputs = [
            execution.artifacts[input_artifact["name"]]
            for input_artifact in action.declaration.get("inputArtifacts", [])
        ]
        self._start(action)

    def _continue(self, execution: Execution, stage: Stage) -> None:
        """After an action's end, continue with the next group, the next stage, or the end."""
        latest = execution.latest(stage.name)
        if any(action.status == IN_PROGRESS for action in latest.values()):
            return
        if execution.is_outdated and execution.status == IN_PROGRESS:
            return
        if execution.status == STOPPING:
            self._leave(execution, stage, STOPPED)
            execution.became(STOPPED)
        elif any(action.status == FAILED for action in latest.values()):
            self._leave(execution, stage, FAILED)
            execution.became(FAILED)
        else:
            self._run(execution, stage, {name for name, action in latest.items() if action.status == SUCCEEDED})

    def _succeed(self, execution: Execution, stage: Stage) -> None:
        self._leave(execution, stage, SUCCEEDED)
        execution.passed.add(stage.name)
        names = list(execution.pipeline.stages)
        following = names[names.index(stage.name) + 1 :]
        if following and execution.kind == "STANDARD":
            self._enqueue(execution, execution.pipeline.stages[following[0]])
            self.advance(execution.pipeline)
        else:
            execution.became(SUCCEEDED)

    def _leave(self, execution: Execution, stage: Stage, status: str) -> None:
        stage.latest, stage.latest_status, stage.holder = execution, status, None
