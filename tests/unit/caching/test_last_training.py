"""The last training is kept, also if its model fails its trial: a run trains only if the training would differ."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.local.stages.executor import LocalStageExecutor
from mlops_cli.core.engine import StageFailed, run_or_reuse_stage
from mlops_cli.core.runs import Run, StageRun, new_run
from mlops_cli.core.stages import STAGES, TRAINING
from mlops_cli.files.hashing import digest_file
from tests.unit.caching.test_freshness import Bench

# Each training gives another model: an equal one was not trained again.
TRAIN = """import os, pathlib, shutil
import mlops_scripts
folder = pathlib.Path(os.environ['SM_MODEL_DIR'])
(folder / 'model').write_bytes(os.urandom(8))
pathlib.Path(os.environ['SM_OUTPUT_DATA_DIR'], 'metrics.json').write_text('{"metrics": {}}')
mlops_scripts.pack_code('serving.py')
"""
RUNS_IT = "import subprocess, sys\nsubprocess.run([sys.executable, 'inference.py'], check=True)\n"
LOADS_IT = "import importlib.util\nimportlib.util.spec_from_file_location('x', 'inference.py')\n"


class TrialBench(Bench):
    """A project whose models are tried by ``trial``, a function of the package."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.trial: Callable[[Path], None] = lambda package: None

    @property
    def workbench(self) -> LocalStageExecutor:
        executor = super().workbench
        trial: Any = SimpleNamespace(run=lambda package, *_: self.trial(package))
        executor.job_runner.trial = trial
        return executor

    def train(self, run: Run | None = None) -> StageRun:
        """Run the training in a copy of the prepared run, without what it had before."""
        prepared = self.store.runs()[-1]
        run = run or new_run(f"{len(self.store.runs()):08x}", {})
        run.stages[:2] = prepared.stages[:2]
        view: Any = SimpleNamespace(stage_changed=lambda *_: None, progress=lambda *_: None)
        run_or_reuse_stage(TRAINING, run, self.workbench, view, STAGES)
        return run.training

    def fail(self) -> None:
        def refuse(package: Path) -> None:
            raise StageFailed("The trained model cannot be served: no.", "")

        self.trial = refuse
        with pytest.raises(StageFailed, match="The training is kept"):
            self.train()
        self.trial = lambda package: None

    @property
    def model(self) -> bytes:
        return self.member(self.project.artifacts / "train" / ".last" / "output", "model")

    def member(self, folder: Path, name: str) -> bytes:
        with tarfile.open(folder / "model.tar.gz") as archive:
            content = archive.extractfile(name)
            assert content is not None
            return content.read()


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a training whose trial has failed."""
    bench = TrialBench(tmp_path_factory.mktemp("failed") / "project")
    bench.write("training/train.py", TRAIN)
    bench.stages = STAGES[:2]
    bench.run()
    bench.fail()
    return bench.root


@pytest.fixture
def bench(failed: Path, tmp_path: Path) -> TrialBench:
    # With the times of the files: what a training has read is compared by them.
    folder = tmp_path / "project"
    shutil.copytree(failed, folder)
    return TrialBench(folder)


def is_kept(bench: TrialBench, model: bytes) -> bool:
    stage = bench.train()
    folder = bench.project.state / stage.artifact
    assert stage.output == digest_file(folder / "model.tar.gz")
    assert (folder / "output" / "metrics.json").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["model.tar.gz", "output"]
    is_same = bench.member(folder, "model") == model
    assert stage.reason.endswith(", tried again") == is_same
    return is_same


def test_a_model_is_only_tried_again(bench: TrialBench) -> None:
    model, first = bench.model, bench.store.runs()[0].id
    assert is_kept(bench, model)
    stage = bench.store.last_finished("train")
    assert stage is not None and stage.reason == f"trained in run {first}, tried again"
    assert bench.train().reason.startswith("unchanged since run "), "it is finished like any other"


@pytest.mark.parametrize("name", ["inference.py", "serving.py", "requirements.txt"])
def test_changed_handlers_replace_those_in_the_package(bench: TrialBench, name: str) -> None:
    model = bench.model
    bench.write(f"training/{name}", "# another one\n" if name != "inference.py" else "import serving  # fixed\n")
    bench.fail()
    assert bench.model == model, "the kept training is the original one"
    assert is_kept(bench, model)
    stage = bench.store.last_finished("train")
    assert stage is not None
    text = (bench.project.training / name).read_bytes()
    assert bench.member(bench.project.state / stage.artifact, f"code/{name}") == text


def test_another_framework_serves_the_kept_model(bench: TrialBench) -> None:
    model, use_case = bench.model, bench.project.training / "usecase.toml"
    use_case.write_text(use_case.read_text().replace("[metrics]", '[model]\nframework = "sklearn"\n[metrics]'))
    assert is_kept(bench, model)
    stage = bench.store.last_finished("train")
    assert stage is not None and stage.detail["framework"] == "sklearn"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.py", f"{TRAIN}# changed\n"),
        ("words.csv", "b\n"),
        ("config.yaml", "hidden: 8\n"),
        ("inference.py", "import serving, mlops_scripts\n"),  # the training would pack that, too
    ],
)
def test_what_a_training_depends_on_makes_another_one(bench: TrialBench, name: str, text: str) -> None:
    model = bench.model
    bench.write(f"training/{name}", text)
    assert not is_kept(bench, model)


@pytest.mark.parametrize(
    "addition",
    [
        "import inference\n",
        RUNS_IT,
        LOADS_IT,
        "(folder / 'code' / 'inference.py').write_text('# made by the training')\n",
        "(folder / 'code' / 'inference.py').unlink()\n",
    ],
)
def test_a_training_that_uses_the_handlers_itself_is_repeated_with_them(bench: TrialBench, addition: str) -> None:
    bench.write("training/train.py", TRAIN + addition)
    bench.fail()
    model = bench.model
    bench.write("training/inference.py", "import serving  # fixed\n")
    assert not is_kept(bench, model)


def test_a_file_that_the_training_has_read_makes_another_one(bench: TrialBench) -> None:
    bench.write("more.csv", "1\n")
    bench.write("training/train.py", f"{TRAIN}pathlib.Path('../more.csv').read_text()\n")
    bench.fail()
    model = bench.model
    bench.write("more.csv", "2\n")
    assert not is_kept(bench, model)


def test_a_forced_run_trains_and_may_then_try_its_own_model_again(bench: TrialBench) -> None:
    forced = new_run("f" * 8, {}, "train")
    model = bench.model
    bench.trial = interrupted
    with pytest.raises(KeyboardInterrupt):
        bench.train(forced)
    assert bench.model != model
    model, bench.trial = bench.model, lambda package: None
    folder = bench.project.state / bench.train(forced).artifact
    assert bench.member(folder, "model") == model


def interrupted(package: Path) -> None:
    (package.parent / ".trial").mkdir()  # as a killed trial leaves it
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["last_training.remove_tree", "job_runner.stat_digest"])
def test_a_kill_after_the_trial_keeps_the_training(
    bench: TrialBench, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    model = bench.model
    with monkeypatch.context() as patch:
        patch.setattr(f"mlops_cli.backends.local.stages.{moment}", kill)
        with pytest.raises(KeyboardInterrupt):
            bench.train()
    assert is_kept(bench, model)


@pytest.mark.parametrize("name", ["model.tar.gz", "output/metrics.json"])
@pytest.mark.parametrize("has_passed", [False, True])
def test_an_output_that_was_changed_on_disk_is_made_again(bench: TrialBench, name: str, has_passed: bool) -> None:
    model, folder = bench.model, bench.project.artifacts / "train" / ".last" / "output"
    if has_passed:
        folder = bench.project.state / bench.train().artifact
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert not is_kept(bench, model)


@pytest.mark.parametrize("name", ["inference.py", "serving.py", "requirements.txt"])
def test_other_handlers_of_a_model_that_has_passed_need_no_training(bench: TrialBench, name: str) -> None:
    model = bench.model
    assert is_kept(bench, model)
    for text in ("import serving  # second\n", "import serving  # third\n"):
        bench.write(f"training/{name}", text if name == "inference.py" else text.removeprefix("import serving  "))
        earlier = [bench.project.state / run.training.artifact for run in bench.store.runs() if run.training.artifact]
        assert is_kept(bench, model)
        assert all((folder / "model.tar.gz").is_file() for folder in earlier), "the models of other runs stay"


def test_another_framework_after_a_passed_trial_leaves_the_models_of_other_runs(bench: TrialBench) -> None:
    model, use_case = bench.model, bench.project.training / "usecase.toml"
    first = bench.project.state / bench.train().artifact
    use_case.write_text(use_case.read_text().replace("[metrics]", '[model]\nframework = "sklearn"\n[metrics]'))
    assert is_kept(bench, model)
    assert bench.member(first, "model") == model


def test_what_a_passed_training_depends_on_makes_another_one(bench: TrialBench) -> None:
    model = bench.model
    assert is_kept(bench, model)
    bench.write("training/train.py", f"{TRAIN}# changed\n")
    bench.write("training/inference.py", "import serving  # changed\n")
    assert not is_kept(bench, model)


def test_a_model_that_fails_its_trial_with_other_handlers_leaves_the_passed_one(bench: TrialBench) -> None:
    model = bench.model
    passed = bench.project.state / bench.train().artifact
    bench.write("training/inference.py", "import serving  # broken\n")
    bench.fail()
    assert bench.member(passed, "model") == model
    bench.write("training/inference.py", "import serving  # fixed\n")
    assert is_kept(bench, model)
