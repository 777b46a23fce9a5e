"""The running work of a project on AWS: runs, their builds, and their state machine executions."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.cleanup.sagemaker import IN_PROGRESS, list_or_none, poll_until
from mlops_cli.backends.aws.clients.codebuild import stop_build
from mlops_cli.backends.aws.clients.codepipeline import Pipeline
from mlops_cli.backends.aws.clients.stepfunctions import stop_execution
from mlops_cli.core import cleanup_texts as texts
from mlops_cli.core.plan import Action, Change

WHY = "mlops cleanup"


@dataclass(frozen=True)
class PipelineResources:
    """Names from the stacks' outputs. A name is empty if the stack was deleted or has no outputs."""

    pipeline: str = ""
    state_machine: str = ""
    projects: tuple[str, ...] = ()
    model_group: str = ""


class RunningWork:
    """Runs, with their builds and state machine executions."""

    def __init__(self, account: Account, resources: PipelineResources) -> None:
        self._pipeline = account.client("codepipeline")
        self._builds = account.client("codebuild")
        self._machine = account.client("stepfunctions")
        self._resources = resources

    def list_resources(self) -> list[Change]:
        runs = [Change(Action.STOP, f"run {run_id}", texts.IN_PROGRESS) for run_id in self._executions()]
        builds = [Change(Action.STOP, f"build {build_id}", texts.OF_RUN) for build_id in self._running_builds()]
        return [*runs, *builds, *(Change(Action.STOP, "state machine execution", arn) for arn in self._tasks())]

    def remove(self) -> None:
        """Stop runs until none is left: when a run stops, the next one in the queue starts."""
        poll_until(self._stop_all)

    def _stop_all(self) -> bool:
        executions, builds, tasks = self._executions(), self._running_builds(), self._tasks()
        for execution in executions:
            Pipeline(self._pipeline, self._resources.pipeline).stop(execution, WHY)
        for build in builds:
            stop_build(self._builds, build)
        for arn in tasks:
            stop_execution(self._machine, arn, WHY)
        return not (executions or builds or tasks)

    def _executions(self) -> list[str]:
        if not self._resources.pipeline:
            return []
        name = self._resources.pipeline
        summaries = list_or_none(
            self._pipeline, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=name
        )
        return [summary["pipelineExecutionId"] for summary in summaries if summary["status"] in IN_PROGRESS]

    def _running_builds(self) -> list[str]:
        running: list[str] = []
        for project in self._resources.projects:
            ids = list_or_none(self._builds, "list_builds_for_project", "ids", projectName=project)[:100]
            builds = self._builds.batch_get_builds(ids=ids)["builds"] if ids else []
            running += [build["id"] for build in builds if build["buildStatus"] == "IN_PROGRESS"]
        return running

    def _tasks(self) -> list[str]:
        if not self._resources.state_machine:
            return []
        running = {"stateMachineArn": self._resources.state_machine, "statusFilter": "RUNNING"}
        return [
            execution["executionArn"]
            for execution in list_or_none(self._machine, "list_executions", "executions", **running)
        ]
