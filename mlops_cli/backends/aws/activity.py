"""What a project has under way on AWS: runs, and the builds and state machine executions that are parts of them."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.backends.aws.remains import GOING_ON, listed, unless_gone, until
from mlops_cli.plans import Action, Change


@dataclass(frozen=True)
class Facts:
    """Names from the stacks' outputs, empty where a stack is gone or never came to have them."""

    pipeline: str = ""
    state_machine: str = ""
    projects: tuple[str, ...] = ()
    model_group: str = ""


class Activity:
    """Runs, and what they have going: builds and state machine executions."""

    def __init__(self, account: Account, facts: Facts) -> None:
        self._pipeline = account.client("codepipeline")
        self._builds = account.client("codebuild")
        self._machine = account.client("stepfunctions")
        self._facts = facts

    def look(self) -> list[Change]:
        runs = [Change(Action.STOP, f"run {one}", "it is under way") for one in self._executions()]
        builds = [Change(Action.STOP, f"build {one}", "of a run") for one in self._running_builds()]
        return [*runs, *builds, *(Change(Action.STOP, "state machine execution", arn) for arn in self._tasks())]

    def remove(self) -> None:
        """Until nothing is under way: behind a stopped run the next one in the queue begins."""
        until(self._stopped)

    def _stopped(self) -> bool:
        executions, builds, tasks = self._executions(), self._running_builds(), self._tasks()
        for execution in executions:
            self._stop(execution)
        for build in builds:
            self._builds.stop_build(id=build)
        for arn in tasks:
            unless_gone(self._machine.stop_execution, executionArn=arn, cause="mlops cleanup")
        return not (executions or builds or tasks)

    def _stop(self, execution: str) -> None:
        """Abandoned: a run that waits for a person would otherwise go on waiting."""
        try:
            self._pipeline.stop_pipeline_execution(
                pipelineName=self._facts.pipeline, pipelineExecutionId=execution, abandon=True, reason="mlops cleanup"
            )
        except AwsError as error:
            if error.code not in ("DuplicatedStopRequestException", "PipelineExecutionNotStoppableException"):
                raise

    def _executions(self) -> list[str]:
        if not self._facts.pipeline:
            return []
        name = self._facts.pipeline
        found = listed(self._pipeline, "list_pipeline_executions", "pipelineExecutionSummaries", pipelineName=name)
        return [one["pipelineExecutionId"] for one in found if one["status"] in GOING_ON]

    def _running_builds(self) -> list[str]:
        running: list[str] = []
        for project in self._facts.projects:
            ids = listed(self._builds, "list_builds_for_project", "ids", projectName=project)[:100]
            builds = self._builds.batch_get_builds(ids=ids)["builds"] if ids else []
            running += [build["id"] for build in builds if build["buildStatus"] == "IN_PROGRESS"]
        return running

    def _tasks(self) -> list[str]:
        if not self._facts.state_machine:
            return []
        running = {"stateMachineArn": self._facts.state_machine, "statusFilter": "RUNNING"}
        return [one["executionArn"] for one in listed(self._machine, "list_executions", "executions", **running)]
