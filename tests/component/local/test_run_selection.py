"""The run that a command continues, with the real store and an executor that only records its stages."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlops_cli.backends.local.runs.selection import (
    check_waiting,
    record_decision,
    select_run,
    supersede_older,
    with_actual_status,
)
from mlops_cli.backends.local.runs.store import LONGEST_PATH, RunStore
from mlops_cli.core.engine import StageResult, run_stages
from mlops_cli.core.models.decision import Actor, Decision
from mlops_cli.core.runs import Run, RunRequest, StageRun, Status, find_run
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.errors import ConfigurationError, MlopsError


class Bench:
    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.version = "1"
        self.broken = ""

    def cache_inputs(self, stage: Stage, run: Run) -> dict[str, str]:
        return {"version": self.version, **run.overrides}

    def key(self, cache_inputs: dict[str, str]) -> str:
        return repr(sorted(cache_inputs.items()))

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        if stage.kind is Kind.APPROVAL:
            decision = next((decision for decision in self.store.decisions() if decision.key == key), None)
            return (
                StageRun(stage.name, output=decision.model_digest, run_id=decision.run_id)
                if decision and decision.approved
                else None
            )
        return next(self.store.finished(stage.name, key, run.id), None)

    def previous(self, stage: Stage) -> StageRun | None:
        return self.store.last_finished(stage.name)

    def execute(self, stage: Stage, run: Run, view: object) -> StageResult:
        if stage.name == self.broken:
            raise MlopsError("broken")
        status = Status.WAITING if stage.kind is Kind.APPROVAL else Status.DONE
        return StageResult(output=stage.name, status=status)

    def save(self, run: Run) -> None:
        self.store.save(run)


class Silent:
    def stage_changed(self, run: Run, stage: StageRun) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...


@pytest.fixture
def store(tmp_path: Path):
    store = RunStore(tmp_path / "state.db")
    yield store
    store.close()


@pytest.fixture
def bench(store: RunStore) -> Bench:
    return Bench(store)


def go(bench: Bench, **request: object) -> Run:
    choice = select_run(RunRequest(**request), bench.store, bench)  # type: ignore[arg-type]
    run = run_stages(choice.run, bench, Silent(), choice.start)
    supersede_older(run, bench.store)
    return run


def say(bench: Bench, run: Run, approved: bool, at: float = 1.0) -> Run:
    gate = run.stage("approval")
    record_decision(run, Decision(run.id, approved, Actor("ann"), "because", at, gate.key, gate.output), bench.store)
    return run_stages(run, bench, Silent(), "approval") if approved else run


def test_a_run_that_failed_is_continued_with_its_overrides(bench: Bench) -> None:
    bench.broken = "train"
    with pytest.raises(MlopsError, match="broken"):
        go(bench, overrides={"epochs": "1"})
    bench.broken = ""
    failed = bench.store.runs()[0]
    choice = select_run(RunRequest(), bench.store, bench)
    assert (choice.run.id, choice.run.overrides, choice.fresh) == (failed.id, {"epochs": "1"}, True)


def test_nothing_changed_starts_nothing(bench: Bench) -> None:
    run = say(bench, go(bench), True)
    choice = select_run(RunRequest(), bench.store, bench)
    assert (choice.run.id, choice.fresh) == (run.id, False)
    bench.version = "2"
    assert select_run(RunRequest(), bench.store, bench).run.id != run.id


def test_other_overrides_are_a_change(bench: Bench) -> None:
    run = say(bench, go(bench), True)
    assert select_run(RunRequest(overrides={"epochs": "9"}), bench.store, bench).run.id != run.id


def test_a_waiting_run_waits_on_when_nothing_changed(bench: Bench) -> None:
    run = go(bench)
    choice = select_run(RunRequest(), bench.store, bench)
    assert (choice.run.id, choice.run.status, choice.fresh) == (run.id, Status.WAITING, False)


def test_force_and_from_start_a_new_run(bench: Bench) -> None:
    run = say(bench, go(bench), True)
    forced = select_run(RunRequest(force=True), bench.store, bench).run
    assert (forced.id != run.id, forced.forced_from) == (True, "preprocess")
    later = select_run(RunRequest(from_stage="deploy"), bench.store, bench)
    assert (later.start, later.run.forced_from) == ("deploy", "deploy")
    assert [stage.status for stage in later.run.stages[:4]] == [Status.REUSED] * 4
    assert later.run.stage("train").reason == f"as in run {run.id}"


def test_from_needs_a_run_that_came_so_far(bench: Bench) -> None:
    with pytest.raises(MlopsError, match="No run has finished the stages before train"):
        select_run(RunRequest(from_stage="train"), bench.store, bench)


def test_a_newer_run_at_the_gate_supersedes_the_older(bench: Bench) -> None:
    old = go(bench)
    bench.version = "2"
    new = go(bench)
    assert find_run(bench.store.runs(), old.id).status is Status.SUPERSEDED
    with pytest.raises(MlopsError, match="was superseded") as caught:
        check_waiting(find_run(bench.store.runs(), old.id), bench.store)
    assert new.id in caught.value.hint


def test_a_failed_deployment_does_not_replace_a_later_approved_model(bench: Bench) -> None:
    say(bench, go(bench), True)
    bench.version = "2"
    waiting = go(bench)
    bench.broken = "deploy"
    with pytest.raises(MlopsError, match="broken"):
        go(bench, from_stage="deploy")
    bench.broken = ""
    failed = bench.store.runs()[0]
    assert find_run(bench.store.runs(), waiting.id).status is Status.WAITING
    say(bench, waiting, True)
    assert find_run(bench.store.runs(), failed.id).status is Status.SUPERSEDED
    assert select_run(RunRequest(), bench.store, bench).run.id != failed.id


def test_a_run_that_waited_beside_a_newer_one_continues_after_its_approval(bench: Bench) -> None:
    say(bench, go(bench), True)
    bench.version = "2"
    waiting = go(bench)
    bench.version = "1"
    go(bench, from_stage="deploy")
    bench.version, bench.broken = "2", "deploy"
    with pytest.raises(MlopsError, match="broken"):
        say(bench, waiting, True, at=time.time())
    assert select_run(RunRequest(), bench.store, bench).run.id == waiting.id


def test_a_run_without_a_possible_decision_has_a_reason(bench: Bench) -> None:
    run = go(bench)
    check_waiting(run, bench.store)
    say(bench, run, False)
    rejected = find_run(bench.store.runs(), run.id)
    with pytest.raises(MlopsError, match="was rejected by ann: because") as caught:
        check_waiting(rejected, bench.store)
    assert caught.value.exit_code == 4
    second_run = go(bench)
    assert second_run.status is Status.WAITING, "a rejected model is asked about again"
    say(bench, second_run, True)
    with pytest.raises(MlopsError, match="already approved by ann"):
        check_waiting(find_run(bench.store.runs(), second_run.id), bench.store)


def test_a_run_in_the_making_cannot_be_decided(bench: Bench) -> None:
    bench.broken = "train"
    with pytest.raises(MlopsError, match="broken"):
        go(bench)
    with pytest.raises(MlopsError, match="does not wait for an approval: it is failed"):
        check_waiting(bench.store.runs()[0], bench.store)


def test_a_run_without_a_process_is_shown_as_interrupted(bench: Bench) -> None:
    stages = [StageRun("preprocess", Status.DONE), StageRun("train", Status.RUNNING)]
    run = Run("r", 0.0, Status.RUNNING, stages)
    assert with_actual_status(run, alive=True) is run
    dead = with_actual_status(run, alive=False)
    assert dead.status is Status.INTERRUPTED
    assert [stage.status for stage in dead.stages] == [Status.DONE, Status.INTERRUPTED]
    assert "died" in dead.stages[1].reason


def test_a_run_is_found_by_any_unique_prefix(store: RunStore) -> None:
    runs = [Run(name, 0.0, Status.DONE, []) for name in ("ab12", "ab34", "cd56")]
    assert find_run(runs, "c").id == "cd56"
    assert find_run(runs, "").id == "ab12"
    with pytest.raises(MlopsError, match="ambiguous: ab12, ab34"):
        find_run(runs, "ab")
    with pytest.raises(MlopsError, match="no run 'zz'"):
        find_run(runs, "zz")
    with pytest.raises(MlopsError, match="There is no run yet"):
        find_run([], "")


def test_a_store_keeps_everything_about_a_run(store: RunStore, tmp_path: Path) -> None:
    stages = [StageRun("train", Status.DONE, "why", "k", {"a": "1"}, "out", "art", {"x": [1]}, 1.0, 2.0, "log", "r")]
    run = Run("r", 5.0, Status.WAITING, stages, {"epochs": "1"}, "train")
    store.save(run)
    store.save(replace(run, status=Status.DONE))
    reopened = RunStore(tmp_path / "state.db")
    (reopened_run,) = reopened.runs()
    assert (reopened_run.status, reopened_run.overrides, reopened_run.forced_from) == (
        Status.DONE,
        {"epochs": "1"},
        "train",
    )
    assert reopened_run.stage("train") == stages[0]
    assert reopened.find_by_output("train", "out") == stages[0]
    reopened.close()


WRONG = ["", "[]", "null", "7", "[" * 100_000, b"\xff", '{"status": "odd"}']


@pytest.mark.parametrize(
    ("table", "column", "values"),
    [
        ("runs", "status", WRONG),
        ("runs", "overrides", WRONG[:-1]),
        ("runs", "created_at", ["soon"]),
        ("runs", "id", [None, b"\xff"]),
        ("runs", "forced_from", [b"\xff"]),
        ("stages", "record", WRONG),
        ("decisions", "record", WRONG),
    ],
)
def test_a_record_that_mlops_has_not_written_is_an_error(
    store: RunStore, table: str, column: str, values: list[object]
) -> None:
    store.save(Run("r", 5.0, Status.WAITING, [StageRun("train", Status.DONE, "why", "k")]))
    for value in values:
        with store.connection as connection:
            if table == "decisions":
                connection.execute("INSERT INTO decisions VALUES ('r', 'k', 'd', '{}')")
            connection.execute(f"UPDATE {table} SET {column}=?", (value,))
        with pytest.raises(MlopsError, match=r"The run store .*state\.db holds a wrong record: ") as error:
            store.runs()
        assert "mlops cleanup --keep-data" in error.value.hint


def test_a_store_of_a_newer_version_is_refused(store: RunStore, tmp_path: Path) -> None:
    store.connection.execute("PRAGMA user_version=99")
    with pytest.raises(MlopsError, match="another version of mlops"):
        RunStore(tmp_path / "state.db")


@pytest.mark.parametrize("spare", [0, -1])
def test_a_store_opens_up_to_the_longest_path_and_not_above(tmp_path: Path, spare: int) -> None:
    folder = tmp_path
    available = LONGEST_PATH - spare - len("/state.db") - len(str(folder.resolve()))
    while available > 0:
        part = min(available - 1, 100) if available - 1 - min(available - 1, 100) != 1 else 99
        folder, available = folder / ("n" * part), available - 1 - part
    folder.mkdir(parents=True)
    assert len(str((folder / "state.db").resolve())) == LONGEST_PATH - spare
    if spare == 0:
        RunStore(folder / "state.db").close()
    else:
        with pytest.raises(ConfigurationError, match="too long"):
            RunStore(folder / "state.db")


def test_a_store_that_is_no_database_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database at all, " * 100)
    with pytest.raises(MlopsError, match=r"The run store .*state\.db cannot be used"):
        RunStore(tmp_path / "state.db")
