"""Following a run of another process."""

from __future__ import annotations

import pytest

from mlops_cli.backends import run_follower as module
from mlops_cli.backends.run_follower import PollInterval, follow
from mlops_cli.core.runs import Run, StageRun, Status

D, P, R, W, F = Status.DONE, Status.PENDING, Status.RUNNING, Status.WAITING, Status.FAILED


class Told:
    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def stage_changed(self, run: Run, stage: StageRun) -> None:
        self.told.append((stage.name, stage.status.value))

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        self.told.append((stage, done, total, message))


def run_of(status: Status, *stages: Status) -> Run:
    return Run("r", 0.0, status, [StageRun(f"s{index}", status) for index, status in enumerate(stages)])


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(module.time, "sleep", slept.append)
    return slept


def followed(*looks: Run, lines: tuple[list[str], ...] = ()) -> tuple[Run, list[tuple[object, ...]]]:
    view, coming, written = Told(), iter(looks), iter(lines)
    run = follow(lambda: next(coming), lambda run, stage: next(written, []), view, PollInterval(1, 4, 2))
    return run, view.told


def test_each_change_is_reported_once_until_the_run_ends() -> None:
    run, events = followed(run_of(R, R, P), run_of(R, R, P), run_of(R, D, R), run_of(W, D, W))
    assert run.status is W
    assert events == [("s0", "running"), ("s0", "done"), ("s1", "running"), ("s1", "waiting")]


def test_a_stage_that_began_and_ended_between_two_polls_is_reported_as_begun() -> None:
    _, events = followed(run_of(P, P, P), run_of(F, D, F))
    assert events == [("s0", "running"), ("s0", "done"), ("s1", "running"), ("s1", "failed")]


def test_a_reused_stage_never_began() -> None:
    _, events = followed(run_of(D, Status.REUSED))
    assert events == [("s0", "reused")]


def test_progress_lines_are_reported_as_progress_and_otherwise_the_last_line() -> None:
    lines = (["epoch 1", "progress 1/2 loss 0.5", ""], ["installing", "loading"])
    _, events = followed(run_of(R, R), run_of(R, R), run_of(D, D), lines=lines)
    assert events == [("s0", "running"), ("s0", 1, 2, "loss 0.5"), ("s0", 0, 0, "loading"), ("s0", "done")]


def test_an_earlier_report_is_not_repeated() -> None:
    view, coming = Told(), iter([run_of(R, D, W, P), run_of(D, D, D, D)])
    follow(lambda: next(coming), lambda run, stage: [], view, PollInterval(1, 4), shown_run=run_of(W, D, W, P))
    assert view.told == [("s1", "done"), ("s2", "running"), ("s2", "done")]


def test_pauses_grow_while_nothing_moves(pauses: list[float]) -> None:
    still = run_of(R, R)
    followed(still, still, still, still, run_of(R, D, R), run_of(D, D, D))
    assert pauses == [1, 2, 4, 4, 1]


def test_a_log_that_grows_is_no_reason_to_look_more_often(pauses: list[float]) -> None:
    followed(run_of(R, R), run_of(R, R), run_of(R, R), run_of(D, D), lines=(["progress 1/3"], ["progress 2/3"]))
    assert pauses == [1, 2, 4]
