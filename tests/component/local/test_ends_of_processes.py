"""The last output of processes without a terminal: a background run, the trial of a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_cli.backends.local.stages.model_trial import ModelTrial
from mlops_cli.core.engine import StageFailed
from mlops_cli.files.model_archive import pack
from mlops_cli.processes.child_process import JobProcesses

CRASH = """
import os, signal

def model_fn(model_dir):
    print("a warning of the library", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

input_fn = predict_fn = output_fn = print
"""


@pytest.mark.parametrize("error", ["MlopsError(URL, 'Fix ' + URL)", "ValueError(URL)"])
def test_the_log_of_a_background_run_has_no_secret(error: str) -> None:
    code = f"""
from mlops_cli.backends.local.runs.background_run import finish_background_run
from mlops_cli.errors import MlopsError
URL = "postgres://me:" + "hunter2hunter2" + "@host/db"
def work():
    raise {error}
finish_background_run(work)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "@host/db" in ended.stdout
    assert "hunter2" not in ended.stdout + ended.stderr


def test_a_model_that_crashes_its_process_is_named_by_the_signal_and_not_by_its_last_line(tmp_path: Path) -> None:
    """A damaged file of XGBoost ends the process without a message."""
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "inference.py").write_text(CRASH)
    pack(tmp_path / "model", tmp_path / "model.tar.gz")
    trial = ModelTrial("sklearn", "")
    with pytest.raises(StageFailed, match="cannot be served: its process was ended by SIGSEGV"):
        trial.run(tmp_path / "model.tar.gz", JobProcesses(tmp_path / "children"), tmp_path / "train.log")
    assert "a warning of the library" in (tmp_path / "train.log").read_text()
