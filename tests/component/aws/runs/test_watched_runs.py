"""Following a run that is queued behind an older one: the command reports the reason and does not wait."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun, Execution
from mlops_cli.backends.aws.runs.queries import LONGEST, RunQueries
from mlops_cli.core.runs import Run, Status, new_run
from mlops_cli.errors import MlopsError

OLDER, NEWER = "older-run", "newer-run"


class QueuedPipeline:
    """CodePipeline with a newer run whose training has finished, queued behind an older one at the approval."""

    def __init__(self) -> None:
        self.tokens = {OLDER: "token"}
        self.holders = {NEWER: OLDER}
        self.stopped: list[str] = []
        self.looks = 0

    def executions(self) -> list[Execution]:
        return [Execution(NEWER, "InProgress", 2.0), Execution(OLDER, "InProgress", 1.0)]

    def actions(self, execution_id: str) -> list[ActionRun]:
        steps = [("preprocess", "job"), ("pre-training-tests", "command"), ("train", "job")]
        done = [
            ActionRun(stage, name, "Succeeded", 1.0, 2.0)
            for stage, last in steps
            for name in dict.fromkeys(["command", last])
        ]
        decision = ActionRun("approval", "decision", "InProgress", 3.0, 3.0)
        is_asked = execution_id not in self.holders
        return [*done, ActionRun("approval", "command", "Succeeded", 3.0, 3.0), decision] if is_asked else done

    def is_outdated(self, actions: list[ActionRun]) -> bool:
        return False

    def holder(self, execution_id: str, stage: str) -> str:
        self.looks += 1
        return self.holders.get(execution_id, "")

    def token(self, execution_id: str, stage: str, action: str) -> str:
        return self.tokens.get(execution_id, "")

    def variables(self, execution_id: str) -> dict[str, str]:
        return {}

    def stop(self, execution_id: str, reason: str) -> None:
        self.stopped.append(execution_id)
        self.holders.clear()


@pytest.fixture
def pipeline() -> QueuedPipeline:
    return QueuedPipeline()


@pytest.fixture
def queries(pipeline: QueuedPipeline, monkeypatch: pytest.MonkeyPatch) -> RunQueries:
    monkeypatch.setattr("mlops_cli.backends.run_follower.time.sleep", lambda _: None)
    store: Any = SimpleNamespace(load=lambda run_id: new_run(run_id, {}))
    decisions: Any = SimpleNamespace(load_accepted=lambda _: None)
    reasons: Any = SimpleNamespace(explain=lambda run, record, actions: run)
    logs: Any = SimpleNamespace(client=None, new_lines=lambda _: [])
    codepipeline: Any = pipeline
    return RunQueries(codepipeline, store, decisions, reasons, logs, lambda: None)


class NoView:
    def stage_changed(self, run: Run, stage: object) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...


def test_following_a_run_behind_a_waiting_one_reports_the_waiting_one(
    queries: RunQueries, pipeline: QueuedPipeline
) -> None:
    with pytest.raises(MlopsError, match=f"Run {NEWER} is queued behind run {OLDER}, which waits") as caught:
        queries.follow(NEWER, NoView())
    assert f"mlops approve {OLDER}." in caught.value.hint
    assert "Or start a newer run instead: mlops run" in caught.value.hint
    assert pipeline.stopped == [], "watching decides nothing"


def test_the_commands_own_run_overtakes_the_waiting_one(queries: RunQueries, pipeline: QueuedPipeline) -> None:
    assert queries.follow(NEWER, NoView(), ours=True).status is Status.WAITING
    assert pipeline.stopped == [OLDER]


def test_a_run_behind_one_in_progress_waits(
    queries: RunQueries, pipeline: QueuedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older run has no token: its approval step is still in progress, or it has just got its decision."""
    pipeline.tokens.clear()

    def leave(_: float) -> None:
        if pipeline.looks > 2:
            pipeline.holders.clear()

    monkeypatch.setattr("mlops_cli.backends.run_follower.time.sleep", leave)
    assert queries.follow(NEWER, NoView()).status is Status.WAITING
    assert pipeline.stopped == []


def test_a_quiet_log_is_asked_for_less_and_less_often(queries: RunQueries, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look is some requests to CodePipeline, which has a quota for the account."""
    running, done = new_run(NEWER, {}), new_run(NEWER, {})
    running.training.status, done.training.status = Status.RUNNING, Status.DONE
    looks, pauses = iter([*[running] * 9, done]), list[float]()
    monkeypatch.setattr(queries, "refresh", lambda _: next(looks))
    monkeypatch.setattr("mlops_cli.backends.run_follower.time.sleep", pauses.append)
    assert list(queries.read_log(running, "train", follow_it=True)) == []
    assert pauses[0] < pauses[1] < pauses[2]
    assert pauses[-2:] == [LONGEST, LONGEST]
