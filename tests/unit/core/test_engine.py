"""The engine with an executor in memory: executed stages, reused stages, and the order of records."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest

from mlops_cli.core import clock
from mlops_cli.core.cache_inputs import digest_cache_inputs
from mlops_cli.core.engine import (
    StageFailed,
    StageResult,
    explain_cache_miss,
    is_up_to_date,
    run_stages,
)
from mlops_cli.core.runs import CONTINUE, Run, StageRun, Status
from mlops_cli.core.stages import Kind, Stage
from mlops_cli.errors import ConfigurationError, MlopsError

LINE = (
    Stage("clean", Kind.PROCESSING, "clean.py", ("data",)),
    Stage("fit", Kind.TRAINING, "fit.py", ("clean",)),
    Stage("approval", Kind.APPROVAL, inputs=("fit",)),
    Stage("deploy", Kind.DEPLOY, inputs=("fit",)),
)


class Memory:
    """An executor that records its stages instead of running them. ``sources``: the stages' inputs."""

    def __init__(self) -> None:
        self.sources = {"clean": "1", "fit": "1", "deploy": "1", "approval": "1"}
        self.executed: list[str] = []
        self.saved: dict[str, Run] = {}
        self.fail = ""
        self.error: MlopsError = StageFailed("it broke", "mend it", {"why": "bad"})
        self.approved: dict[str, str] = {}

    def cache_inputs(self, stage: Stage, run: Run) -> dict[str, str]:
        inputs = {name: run.stage(name).output for name in stage.inputs if name != "data"}
        return {"source": self.sources[stage.name], **inputs}

    def key(self, cache_inputs: dict[str, str]) -> str:
        return digest_cache_inputs(cache_inputs)

    def _records(self, name: str) -> list[StageRun]:
        runs = reversed(list(self.saved.values()))
        return [replace(run.stage(name), run_id=run.id) for run in runs if run.stage(name).status.has_output]

    def find(self, stage: Stage, key: str, run: Run) -> StageRun | None:
        if stage.kind is Kind.APPROVAL:
            return StageRun(stage.name, output="m", run_id=self.approved[key]) if key in self.approved else None
        records = [record for record in self._records(stage.name) if record.key == key]
        return next(iter([record for record in records if record.run_id == run.id] or records), None)

    def previous(self, stage: Stage) -> StageRun | None:
        return next(iter(self._records(stage.name)), None)

    def execute(self, stage: Stage, run: Run, view: object) -> StageResult:
        self.executed.append(stage.name)
        if stage.name == self.fail:
            raise self.error
        status = Status.WAITING if stage.kind is Kind.APPROVAL else Status.DONE
        return StageResult(output=f"{stage.name} of {self.sources[stage.name]}", status=status)

    def save(self, run: Run) -> None:
        self.saved[run.id] = copy.deepcopy(run)


class Silent:
    def stage_changed(self, run: Run, stage: StageRun) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...


def new_run(name: str = "r1", forced_from: str = "") -> Run:
    return Run(name, 0.0, Status.PENDING, [StageRun(stage.name, run_id=name) for stage in LINE], {}, forced_from)


def go(run: Run, bench: Memory, start: str = "") -> Run:
    return run_stages(run, bench, Silent(), start, LINE)


def approve(run: Run, bench: Memory) -> None:
    bench.approved[run.stage("approval").key] = run.id


def finished(bench: Memory) -> Run:
    run = go(new_run(), bench)
    approve(run, bench)
    run = go(run, bench, "approval")
    bench.executed.clear()
    return run


def test_stops_at_the_gate_and_continues_after_the_approval() -> None:
    bench = Memory()
    run = go(new_run(), bench)
    assert run.status is Status.WAITING
    assert bench.executed == ["clean", "fit", "approval"]
    approve(run, bench)
    assert go(run, bench, "approval").status is Status.DONE
    assert bench.executed == ["clean", "fit", "approval", "deploy"]
    assert [stage.status for stage in run.stages] == [Status.DONE] * 4


def test_an_approval_deploys_the_approved_model_even_after_a_change_of_the_script() -> None:
    bench = Memory()
    run = go(new_run(), bench)
    approve(run, bench)
    bench.sources["fit"] = "2"
    go(run, bench, "approval")
    assert bench.executed == ["clean", "fit", "approval", "deploy"]


def test_without_a_change_no_stage_is_executed() -> None:
    bench = Memory()
    run = finished(bench)
    assert is_up_to_date(run, bench, LINE)
    repeated = go(new_run("r2"), bench)
    assert bench.executed == []
    assert [stage.status for stage in repeated.stages[:2]] == [Status.REUSED] * 2
    assert repeated.stage("fit").reason == "unchanged since run r1"


def test_a_change_executes_its_stage_and_the_stages_that_use_its_output() -> None:
    bench = Memory()
    run = finished(bench)
    bench.sources["fit"] = "2"
    assert not is_up_to_date(run, bench, LINE)
    go(new_run("r2"), bench)
    assert bench.executed == ["fit", "approval"]


def test_a_change_that_leaves_the_output_the_same_stops_there() -> None:
    bench = Memory()
    finished(bench)
    bench.cache_inputs = lambda stage, run: {  # type: ignore[method-assign]
        **Memory.cache_inputs(bench, stage, run),
        **({"comment": "new"} if stage.name == "clean" else {}),
    }
    go(new_run("r2"), bench)
    assert bench.executed == ["clean"]


def test_force_executes_from_there_on_once() -> None:
    bench = Memory()
    finished(bench)
    run = go(new_run("r2", forced_from="fit"), bench)
    assert bench.executed == ["fit", "approval"], "a forced run asks again"
    assert run.stage("fit").reason == "forced"
    go(run, bench)
    assert bench.executed == ["fit", "approval", "approval"], "a resumed forced run repeats nothing it has finished"


def test_failure_is_recorded_before_it_is_raised_and_is_retried() -> None:
    bench = Memory()
    bench.fail = "fit"
    with pytest.raises(StageFailed, match="it broke"):
        go(new_run(), bench)
    saved = bench.saved["r1"]
    assert (saved.status, saved.stage("fit").status) == (Status.FAILED, Status.FAILED)
    assert saved.stage("fit").detail == {"why": "bad"}
    bench.fail = ""
    bench.executed.clear()
    go(saved, bench)
    assert bench.executed == ["fit", "approval"]


def test_a_stage_that_fails_before_it_begins_has_taken_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Memory()
    bench.fail = "fit"
    with pytest.raises(StageFailed):
        go(new_run(), bench)
    saved = bench.saved["r1"]
    moment = clock.now() + 1000.0
    monkeypatch.setattr(clock, "now", lambda: moment)

    def cache_inputs(stage: Stage, run: Run) -> dict[str, str]:
        raise MlopsError(f"the script of {stage.name} is missing")

    monkeypatch.setattr(bench, "cache_inputs", cache_inputs)
    with pytest.raises(MlopsError, match="is missing"):
        go(saved, bench, "fit")
    assert saved.stage("fit").seconds == 0


def test_ctrl_c_is_recorded_as_interrupted() -> None:
    bench = Memory()

    def interrupt(*_: object) -> StageResult:
        raise KeyboardInterrupt

    bench.execute = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        go(new_run(), bench)
    assert bench.saved["r1"].status is Status.INTERRUPTED
    assert bench.saved["r1"].stage("clean").status is Status.INTERRUPTED


def test_a_stage_is_recorded_as_running_before_it_is_executed() -> None:
    bench = Memory()
    seen: list[Status] = []

    def look(stage: Stage, run: Run, view: object) -> StageResult:
        seen.append(bench.saved["r1"].stage(stage.name).status)
        return StageResult(output="x", status=Status.WAITING if stage.kind is Kind.APPROVAL else Status.DONE)

    bench.execute = look  # type: ignore[method-assign]
    go(new_run(), bench)
    assert seen == [Status.RUNNING] * 3


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"epochs": "2"}, {"epochs": "3"}, "epochs 2 → 3"),
        ({"a.py": "0" * 64}, {"a.py": "1" * 64}, "a.py changed"),
        ({}, {"b": "1"}, "b is new"),
        ({"b": "1"}, {}, "b is gone"),
        ({"b": "1"}, {"b": "1"}, "its output is missing"),
    ],
)
def test_the_difference_in_words(before: dict[str, str], after: dict[str, str], message: str) -> None:
    assert explain_cache_miss(StageRun("s", cache_inputs=before), after) == message


def test_a_first_run_says_so() -> None:
    assert explain_cache_miss(None, {"a": "1"}) == "first run"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MlopsError("The port is taken.", "Choose another."), 3),
        (StageFailed("it broke", "mend it"), 3),
        (ConfigurationError("ENDPOINT_PORT is wrong.", "Change it."), 2),
    ],
)
def test_every_exception_in_a_stage_is_recorded_as_its_failure(error: MlopsError, code: int) -> None:
    bench, run = Memory(), new_run()
    bench.fail, bench.error = "clean", error
    with pytest.raises(MlopsError) as caught:
        go(run, bench)
    assert (caught.value.exit_code, run.status, run.stage("clean").status) == (code, Status.FAILED, Status.FAILED)


def test_the_kept_overrides_of_a_failed_run_are_reported_with_the_option_that_drops_them() -> None:
    bench, run = Memory(), new_run()
    run.overrides = {"fit.epochs": "0", "fit.name": "a b", "fit.rates": ""}
    bench.fail, bench.error = "fit", StageFailed("it broke", CONTINUE)
    with pytest.raises(StageFailed) as caught:
        go(run, bench)
    assert "it keeps --set fit.epochs=0 --set 'fit.name=a b' --set fit.rates=;" in caught.value.hint
    assert "mlops run --force" in caught.value.hint
