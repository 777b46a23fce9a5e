"""A stage above its time limit is ended, reports this, and continues from its last checkpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.codepipeline import ActionRun
from mlops_cli.backends.aws.runs.build_limit import build_minutes
from mlops_cli.backends.aws.runs.failure_reason import FailureExplainer
from mlops_cli.backends.local.stages.checkpoints import Checkpoints
from mlops_cli.backends.local.stages.job_runner import JobRunner
from mlops_cli.caching.reads import Reads
from mlops_cli.core.engine import StageFailed
from mlops_cli.core.jobs.script_environment import PassedVariables
from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.runs import CONTINUE, Status, new_run
from mlops_cli.core.stages import DEPLOYMENT, ENDPOINT_GATE, TRAINING, Kind, Stage, position
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.hashing import digest_file
from mlops_cli.processes.child_process import JobProcesses, TimeLimitError
from mlops_cli.project.paths import Project
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from tests.conftest import ROOT

STAGE = Stage("train", Kind.TRAINING, "train.py", ("preprocess",))
SCRIPT = """
import os, time
from pathlib import Path
checkpoint = Path(os.environ["SM_CHECKPOINT_DIR"], "epoch")
if not checkpoint.exists():
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text("1")
    print("epoch 1 is done", flush=True)
    time.sleep(600)
Path(os.environ["SM_MODEL_DIR"], "model.txt").write_text("from epoch " + checkpoint.read_text())
"""


class NoView:
    def stage_changed(self, *_: Any) -> None: ...

    def progress(self, *_: Any) -> None: ...


class ShortMinutes(JobProcesses):
    """A minute ends with the first line of the output."""

    def run(self, argv: Any, cwd: Any, env: Any, log: Any, on_line: Any, seconds: float = 0.0) -> int:
        def end(line: Any) -> None:
            on_line(line)
            if seconds == 60:
                raise TimeLimitError

        return super().run(argv, cwd, env, log, end)


def test_a_training_that_takes_too_long_is_ended_and_resumed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.training.mkdir()
    (project.training / "train.py").write_text(SCRIPT)
    run = new_run("r1", {})
    run.stage("train").key = "k" * 64

    def train(minutes: int) -> Any:
        children = ShortMinutes(tmp_path / "children")
        checkpoints = Checkpoints(project.artifacts, Reads(project.root, {}, digest_file))
        trial: Any = SimpleNamespace(run=lambda *_, **__: None)
        runner = JobRunner(project, children, PassedVariables(), TimeLimits({"train": minutes}), checkpoints, trial)
        return runner.job(STAGE, run, {}, {}, NoView())

    with pytest.raises(StageFailed) as caught:
        train(1)
    assert "train.py takes too long: it was ended after 1 minutes, its time limit" in caught.value.message
    assert "epoch 1 is done" in caught.value.message
    assert caught.value.hint == CONTINUE
    assert train(240).output, "the checkpoint was kept"


def use_case(tmp_path: Path, text: str) -> UseCase:
    original = (ROOT / "mlops_cli/project/scaffold/starter/minimal/training/usecase.toml").read_text()
    (tmp_path / "usecase.toml").write_text(original + text)
    return load_use_case(tmp_path / "usecase.toml")


def test_both_targets_take_the_limit_of_the_use_case(tmp_path: Path) -> None:
    limited = use_case(tmp_path, "\n[time_limits]\ntrain = 300\npre-training-tests = 5\n")
    assert limited.time_limits.of(STAGE) == 300
    assert limited.machines.of(TRAINING).max_runtime_minutes == 300
    assert limited.machines.of(TRAINING).max_wait_minutes >= 300
    assert limited.time_limits.minutes["pre-training-tests"] == 5
    own = use_case(tmp_path, "\n[time_limits]\ntrain = 300\n[aws.train]\nmax_runtime_minutes = 30\n")
    assert own.machines.of(TRAINING).max_runtime_minutes == 30, "what [aws] says beats it there"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("train = 0", "time_limits.train must be a whole number of minutes"),
        ("train = true", "time_limits.train must be a whole number of minutes"),
        ('train = "1h"', "time_limits.train must be a whole number of minutes"),
        ("train = 1.5", "time_limits.train must be a whole number of minutes"),
        ("approval = 5", "time_limits.approval is not known"),
        ("trian = 5", "did you mean train?"),
    ],
)
def test_a_wrong_limit_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        use_case(tmp_path, f"\n[time_limits]\n{text}\n")
    assert problem in caught.value.message


def test_a_deployment_has_a_limit_too(tmp_path: Path) -> None:
    assert use_case(tmp_path, "").time_limits.of(DEPLOYMENT) == 2
    assert use_case(tmp_path, "\n[time_limits]\ndeploy = 10\n").time_limits.of(DEPLOYMENT) == 10


@pytest.mark.parametrize(("gate", "build"), [(1, 60), (45, 60), (46, 61), (2145, 2160)])
def test_a_build_on_aws_has_the_time_of_the_longest_gate(tmp_path: Path, gate: int, build: int) -> None:
    limits = use_case(tmp_path, f"\n[time_limits]\npre-training-tests = {gate}\ntrain = 9000\n").time_limits
    assert build_minutes(limits) == build


def test_a_build_that_timed_out_names_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FailureExplainer, "_tail", lambda *_: [])
    run = new_run("r", {})
    gate = run.stage("pre-training-tests")
    run.preparation.status, gate.status = Status.DONE, Status.FAILED
    timed_out = ActionRun(gate.name, "command", "Failed", 1.0, 2.0, error="Build terminated with state: TIMED_OUT")
    explained = FailureExplainer(None, lambda _: "").explain(run, None, [timed_out])  # type: ignore[arg-type]
    assert (
        "TIMED_OUT. For a longer time limit, give the gate more minutes in [time_limits]"
        in explained.stage(gate.name).reason
    )


@pytest.mark.parametrize(
    ("stage", "step"), [("approval", "command"), ("deploy", "command"), (ENDPOINT_GATE.name, "rollback")]
)
def test_the_build_of_a_deciding_step_has_a_limit_that_no_setting_changes(
    monkeypatch: pytest.MonkeyPatch, stage: str, step: str
) -> None:
    monkeypatch.setattr(FailureExplainer, "_tail", lambda *_: [])
    run = new_run("r", {})
    for record in run.stages[: position(stage)]:
        record.status = Status.DONE
    run.stage(stage).status = Status.FAILED
    timed_out = ActionRun(stage, step, "Failed", 1.0, 2.0, error="Build terminated with state: TIMED_OUT")
    explained = FailureExplainer(None, lambda _: "").explain(run, None, [timed_out])  # type: ignore[arg-type]
    reason = explained.stage(stage).reason
    assert "Build terminated with state: TIMED_OUT" in reason
    assert "time_limits" not in reason
