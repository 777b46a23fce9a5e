from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlops_cli.core.jobs import script_mode
from mlops_cli.core.jobs.script_job import ScriptJob, command_line, parse_json_output, progress_in
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


def test_a_training_job_finds_its_folders_in_the_environment() -> None:
    environment = script_mode.environment(TRAIN, 2)
    assert environment["SM_MODEL_DIR"] == "/o/model"
    assert environment["SM_OUTPUT_DATA_DIR"] == "/o/output"
    assert environment["SM_CHANNEL_TRAIN"] == "/d/train"
    assert json.loads(environment["SM_CHANNELS"]) == ["test", "train"]
    assert json.loads(environment["SM_HPS"]) == {"batch_size": "64", "epochs": "2"}
    assert environment["SM_HP_EPOCHS"] == "2"
    assert json.loads(environment["SM_HOSTS"]) == [environment["SM_CURRENT_HOST"]]
    assert environment["SM_NUM_CPUS"] == "2"


def test_values_have_their_types_as_in_sagemaker() -> None:
    values = {"a": "x", "epochs": 3, "rate": 1e-05, "flag": True, "digits": "007"}
    job = ScriptJob("train", Kind.TRAINING, Path("/p/training/train.py"), Path("/o"), {}, values)
    assert command_line(job, "python3")[2:] == [
        *("-a", "x", "--digits", "007", "--epochs", "3", "--flag", "True", "--rate", "1e-05")
    ]
    variables = script_mode.environment(job, 2)
    assert json.loads(variables["SM_HPS"]) == values
    assert (variables["SM_HP_FLAG"], variables["SM_HP_EPOCHS"], variables["SM_HP_A"]) == ("true", "3", "x")
    assert json.loads(variables["SM_TRAINING_ENV"])["hyperparameters"] == values
    assert json.loads(json.loads(script_mode.config_files(job)["hyperparameters.json"])["epochs"]) == 3


def test_the_configuration_files_have_the_form_of_sagemaker_s_developer_guide() -> None:
    channels = {"train": Path("/a"), "evaluation": Path("/b")}
    job = ScriptJob("train", Kind.TRAINING, Path("train.py"), Path("/out"), channels, {"num_round": 128, "eta": 0.001})
    files = {name: json.loads(text) for name, text in script_mode.config_files(job).items()}
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert files == {
        "hyperparameters.json": {"num_round": "128", "eta": "0.001"},
        "inputdataconfig.json": {"evaluation": channel, "train": channel},
        "resourceconfig.json": {
            "current_host": "algo-1",
            "current_instance_type": "local",
            "current_group_name": "homogeneousCluster",
            "hosts": ["algo-1"],
            "instance_groups": [
                {"instance_group_name": "homogeneousCluster", "instance_type": "local", "hosts": ["algo-1"]}
            ],
            "network_interface_name": "lo",
        },
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1e-3", 0.001),
        ("0.5", 0.5),
        ("True", True),
        ("false", False),
        ("007", "007"),
        ("1_000", "1_000"),
        ("", ""),
        ("nan", "nan"),
        ("0x10", "0x10"),
        ("yes", "yes"),
        ("٣", "٣"),
        ("[1]", "[1]"),
    ],
)
def test_the_forms_of_an_override(text: str, value: object) -> None:
    assert script_mode.typed(text) == value
    assert type(script_mode.typed(text)) is type(value)


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ("progress 2/2", (2, 2, "")),
        ("progress 3/40 loss 0.41", (3, 40, "loss 0.41")),
        ("100%|####| 2/2 [00:00<00:00]progress 2/2 done", (2, 2, "done")),
        ("loss: 0.41progress 2/2", (2, 2, "")),
        ("Download in progress 3/10", None),
        ("in-progress 3/10", None),
        ("progress", None),
    ],
)
def test_a_line_of_progress(line: str, progress: object) -> None:
    assert progress_in(line) == progress


@pytest.mark.parametrize("text", ["{broken", "[" * 100_000, "{" + '"a": {' * 100_000, "", "\ufeff{"])
def test_a_scripts_output_file_is_json_or_a_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_json_output(text)


def test_a_byte_order_mark_is_no_error() -> None:
    assert parse_json_output('\ufeff{"a": 1}') == {"a": 1}
