from __future__ import annotations

import json
from pathlib import Path

from mlops_cli.core.jobs import ScriptJob, command_line, script_mode_environment
from mlops_cli.core.stages import Kind

TRAIN = ScriptJob(
    "train",
    Kind.TRAINING,
    Path("/p/training/train.py"),
    Path("/o"),
    {"train": Path("/d/train"), "test": Path("/d/test")},
    {"epochs": "2", "batch_size": "64"},
)
CLEAN = ScriptJob(
    "preprocess",
    Kind.PROCESSING,
    Path("/p/training/preprocess.py"),
    Path("/o"),
    {"input": Path("/d")},
    {"seed": "1"},
)


def test_hyperparameters_are_on_the_command_line_sorted_by_name() -> None:
    assert command_line(TRAIN, "python3") == ["python3", "train.py", "--batch_size", "64", "--epochs", "2"]


def test_a_processing_job_gets_its_folders_on_the_command_line() -> None:
    expected = ["python3", "preprocess.py", "--input-dir", "/d", "--output-dir", "/o", "--seed", "1"]
    assert command_line(CLEAN, "python3") == expected
    assert script_mode_environment(CLEAN, 2) == {}


def test_a_training_job_finds_its_folders_in_the_environment() -> None:
    environment = script_mode_environment(TRAIN, 2)
    assert environment["SM_MODEL_DIR"] == "/o/model"
    assert environment["SM_OUTPUT_DATA_DIR"] == "/o/output"
    assert environment["SM_CHANNEL_TRAIN"] == "/d/train"
    assert json.loads(environment["SM_CHANNELS"]) == ["test", "train"]
    assert json.loads(environment["SM_HPS"]) == {"batch_size": "64", "epochs": "2"}
    assert environment["SM_HP_EPOCHS"] == "2"
    assert json.loads(environment["SM_HOSTS"]) == [environment["SM_CURRENT_HOST"]]
    assert environment["SM_NUM_CPUS"] == "2"
