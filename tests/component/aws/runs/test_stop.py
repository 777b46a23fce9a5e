"""The jobs that `mlops stop` ends, with a pipeline in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlops_cli.backends.aws.clients.codepipeline import ABANDONED, IN_PROGRESS, SUCCEEDED, ActionRun
from mlops_cli.backends.aws.runs.stop import RunStopper
from mlops_cli.core.runs import Run, Status, new_run


class Scenario:
    """An execution with a finished build, a build and a job. ``calls``: what was stopped."""

    def __init__(self, status: str) -> None:
        self.status = status
        self.calls: list[str] = []
        self.pipeline = self

    def actions(self, run_id: str) -> list[ActionRun]:
        return [
            ActionRun("train", "Command", SUCCEEDED, 0, 1, "CodeBuild", external="build-1"),
            ActionRun("train", "Job", self.status, 1, 2, "StepFunctions", external="execution-1"),
            ActionRun("train", "Check", self.status, 1, 2, "CodeBuild", external="build-2"),
        ]

    def stop(self, run_id: str, reason: str) -> None:
        self.calls.append(run_id)

    def client(self, service: str) -> Scenario:
        return self

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda **request: self.calls.append(str(request.get("executionArn") or request["id"]))

    def wait_for_status_change(self, run_id: str, status: Status) -> None:
        pass

    def refresh(self, run_id: str) -> Run:
        run = new_run(run_id, {})
        run.status = Status.INTERRUPTED
        return run


def test_a_stop_ends_the_execution_before_its_build_and_job() -> None:
    scenario: Any = Scenario(IN_PROGRESS)
    assert RunStopper(scenario, scenario).stop("r1").status is Status.INTERRUPTED
    assert scenario.calls == ["r1", "execution-1", "build-2"]


def test_what_a_killed_stop_has_not_reached_is_ended_by_the_next_one() -> None:
    """CodePipeline abandons the actions of a stopped execution; what they have started goes on and costs money."""
    scenario: Any = Scenario(ABANDONED)
    RunStopper(scenario, scenario).stop("r1")
    assert scenario.calls == ["r1", "execution-1", "build-2"]
