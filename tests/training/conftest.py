"""The use case's scripts, importable as in a job: training/ is the working directory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import made_once

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE), str(HERE.parents[1] / "training")]

from scripts import LIBRARY, TINY, TRAINING, run_script, train  # noqa: E402

sys.path += [str(LIBRARY)]


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the output of preprocess.py for 3,000 generated comments."""

    def make(folder: Path) -> None:
        rows = ("-m", "sample.generate", "--output-dir", folder / "raw", "--rows", 3000, "--seed", 5)
        assert run_script(*rows).returncode == 0
        done = run_script("preprocess.py", "--input-dir", folder / "raw", "--output-dir", folder / "out")
        assert done.returncode == 0, done.stderr

    return made_once(tmp_path_factory, "sample", make) / "out"


@pytest.fixture(scope="session")
def tiny_training(sample_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the files of one epoch of a tiny network: model/, output/ and log."""

    def make(folder: Path) -> None:
        folder.mkdir()
        done = train(sample_dataset, folder, *TINY)
        assert done.returncode == 0, done.stderr
        (folder / "log").write_text(done.stdout)

    return made_once(tmp_path_factory, "tiny-training", make)


@pytest.fixture
def training_copy(tmp_path: Path) -> Path:
    """Provide a copy of the gates and their thresholds, for changes."""
    folder = tmp_path / "training"
    shutil.copytree(TRAINING, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def set_threshold(training_copy: Path) -> Callable[[str, str], None]:
    def change(old: str, new: str) -> None:
        path = training_copy / "usecase.toml"
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in usecase.toml"
        path.write_text(text.replace(old, new))

    return change
