"""A script job as a SageMaker request, checked against botocore's own model of the two operations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator

from mlops_cli.backends.aws.stages.containers import launcher, output_digests, secrets_runner
from mlops_cli.backends.aws.stages.jobs.job_requests import (
    CODE,
    DIGESTS,
    ENTRYPOINT,
    LAUNCHER,
    MOST_MACHINES,
    NAME_LENGTH,
    JobSpec,
    job_name,
    needs_launcher,
    processing_request,
    training_request,
)
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.files.hashing import digest_file, digest_folder
from mlops_cli.project.usecase.instances import JobInstances

TAGS = {"mlops:project": "tiny", "mlops:environment": "dev"}


def order(**changes: Any) -> JobSpec:
    fields: dict[str, Any] = {
        "name": "tiny-dev-train-3f2a91-k3x9",
        "image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.21-cpu-py312",
        "role": "arn:aws:iam::000000000000:role/job",
        "region": "us-east-1",
        "code": "s3://bucket/tiny-dev/code/0123456789abcdef/sourcedir.tar.gz",
        "output": "s3://bucket/tiny-dev/artifacts/train/0123/",
        "checkpoints": "s3://bucket/checkpoints/",
        "inputs": {"train": "s3://bucket/data/train/", "test": "s3://bucket/data/test/"},
        "machine": JobInstances("ml.m5.xlarge"),
        "tags": TAGS,
    }
    return JobSpec(**{**fields, **changes})


def processing(**changes: Any) -> dict[str, Any]:
    request = order(**{"inputs": {"input": "s3://bucket/tiny-dev/data/"}, **changes})
    return processing_request("preprocess", "preprocess.py", {"seed": "1", "fraction": "0.1"}, request)


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateTrainingJob", training_request("train.py", {"epochs": "3"}, order())),
        (
            "CreateTrainingJob",
            training_request("train.py", {}, order(machine=JobInstances("ml.g5.xlarge", spot=True))),
        ),
        ("CreateProcessingJob", processing()),
    ],
)
def test_aws_would_accept_it(operation: str, request_: dict[str, Any]) -> None:
    model = botocore.session.get_session().get_service_model("sagemaker")
    report = ParamValidator().validate(request_, model.operation_model(operation).input_shape)
    assert not report.has_errors(), report.generate_report()


def test_a_script_gets_its_hyperparameters_letter_by_letter() -> None:
    hyperparameters = {"epochs": "3", "rate": "1e-3", "name": "007", "flag": "True", "rates": "toxic=0.09,threat=0.003"}
    sent = training_request("train.py", hyperparameters, order())["HyperParameters"]
    assert {name: json.loads(sent[name]) for name in hyperparameters} == hyperparameters
    assert json.loads(sent["sagemaker_program"]) == "train.py"
    assert not needs_launcher(hyperparameters)
    assert json.loads(sent["sagemaker_submit_directory"]) == order().code


@pytest.mark.parametrize("value", ["", " ", "a b", '"', "'", "$x", "a;b", "*", "a\nb", "ü", "~", "{a,b}", "\\", "#a"])
def test_a_value_that_a_shell_would_change_is_not_on_the_toolkits_command_line(value: str) -> None:
    sent = training_request("train.py", {"name": value, "epochs": "3"}, order())["HyperParameters"]
    on_the_command_line = {name for name in sent if not name.startswith("sagemaker_")}
    assert on_the_command_line == {"epochs"}
    assert json.loads(sent["sagemaker_program"]) == LAUNCHER
    hyperparameters = launcher.hyperparameters({name: json.loads(text) for name, text in sent.items()})
    assert hyperparameters == {"epochs": "3", "name": value}


def test_channels_are_sorted_and_complete() -> None:
    channels = training_request("train.py", {}, order())["InputDataConfig"]
    result = [(channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"]) for channel in channels]
    assert result == [("test", "s3://bucket/data/test/"), ("train", "s3://bucket/data/train/")]


def test_a_processing_job_runs_the_same_command_line_as_a_local_one() -> None:
    specification = processing()["AppSpecification"]
    assert specification["ContainerArguments"] == [
        *("python3", "preprocess.py"),
        *("--input-dir", "/opt/ml/processing/input/data", "--output-dir", "/opt/ml/processing/output"),
        *("--fraction", "0.1", "--seed", "1"),
    ]
    assert specification["ContainerEntrypoint"][2] == ENTRYPOINT
    assert len(ENTRYPOINT) <= 256, "SageMaker takes no longer string"
    addresses = {
        processing_input["InputName"]: processing_input["S3Input"]["S3Uri"]
        for processing_input in processing()["ProcessingInputs"]
    }
    assert addresses == {"code": "s3://bucket/tiny-dev/code/0123456789abcdef/", "data": "s3://bucket/tiny-dev/data/"}


def test_a_processing_job_reports_its_files_and_lists_them_beside_its_output(tmp_path: Path) -> None:
    output = processing(output="s3://bucket/a/job-1/")["ProcessingOutputConfig"]["Outputs"]
    addresses = {
        output["OutputName"]: (output["S3Output"]["S3Uri"], output["S3Output"]["LocalPath"]) for output in output
    }
    assert addresses["digests"] == ("s3://bucket/a/job-1-digests/", "/opt/ml/processing/digests")
    written = tmp_path / "processing" / "output"
    (written / "train").mkdir(parents=True)
    for name in ("a.csv", "a-b.csv", "train/rows.csv"):
        (written / name).write_text(name)
    assert output_digests.run(tmp_path, [sys.executable, "-c", "raise SystemExit(7)"]) == 7
    assert not (tmp_path / "output").exists(), "a script that fails says nothing"
    assert output_digests.run(tmp_path, [sys.executable, "-c", ""]) == 0
    message = (tmp_path / "output" / "message").read_text().strip()
    assert message == digest_folder(written), "the same digest as on one machine"
    assert digest_file(tmp_path / "processing" / "digests" / message) == message


STOPPED_SOFTLY = """
import pathlib, signal, sys

def end(number, frame):
    pathlib.Path("ended").write_text("softly")
    sys.exit(int(sys.argv[1]))

signal.signal(signal.SIGTERM, end)
print("ready", flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize("code", [0, 3])
def test_a_script_in_a_processing_job_that_is_stopped_gets_the_signal(tmp_path: Path, code: int) -> None:
    """SageMaker sends it only to the container's first process."""
    (tmp_path / "script.py").write_text(STOPPED_SOFTLY)
    (tmp_path / DIGESTS).write_text(Path(output_digests.__file__).read_text())
    with tarfile.open(tmp_path / "sourcedir.tar.gz", "w:gz") as archive:
        for name in ("script.py", DIGESTS):
            archive.add(tmp_path / name, name)
    entrypoint = ENTRYPOINT.replace(CODE, str(tmp_path)).replace("/opt/ml", str(tmp_path))
    command = ["bash", "-c", entrypoint, "preprocess", sys.executable, "script.py", str(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=tmp_path, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == code
    assert (tmp_path / "ended").read_text() == "softly"
    assert (tmp_path / "output" / "message").exists() is (code == 0)


def test_more_machines_than_sagemaker_keeps_messages_of_are_refused() -> None:
    assert processing(machine=JobInstances("ml.m5.large", MOST_MACHINES))
    with pytest.raises(ConfigurationError, match="preprocess has 16 machines; a processing job can have 15 at most"):
        processing(machine=JobInstances("ml.m5.large", MOST_MACHINES + 1))


def test_the_request_has_the_configured_instance() -> None:
    machine = JobInstances("ml.g5.2xlarge", 2, 50, 90)
    request = training_request("train.py", {}, order(machine=machine))
    assert request["ResourceConfig"] == {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 2, "VolumeSizeInGB": 50}
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400}
    assert request["EnableManagedSpotTraining"] is False
    assert request["RetryStrategy"] == {"MaximumRetryAttempts": 2}
    cluster = processing(machine=machine)["ProcessingResources"]["ClusterConfig"]
    assert cluster["InstanceType"] == "ml.g5.2xlarge"


def test_each_of_several_machines_has_the_data_and_the_code() -> None:
    inputs = processing(machine=JobInstances("ml.m5.large", 2))["ProcessingInputs"]
    distributions = {each["InputName"]: each["S3Input"]["S3DataDistributionType"] for each in inputs}
    assert distributions == {"code": "FullyReplicated", "data": "FullyReplicated"}


def test_of_the_sharded_channel_each_of_several_machines_has_its_own_files() -> None:
    def distributions(instance_count: int) -> dict[str, str]:
        machine = JobInstances("ml.m5.large", instance_count, sharded_channel="train")
        channels = training_request("train.py", {}, order(machine=machine))["InputDataConfig"]
        sources = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in channels}
        return {name: source["S3DataDistributionType"] for name, source in sources.items()}

    assert distributions(1) == {"test": "FullyReplicated", "train": "FullyReplicated"}
    assert distributions(2) == {"test": "FullyReplicated", "train": "ShardedByS3Key"}


def test_a_sharded_channel_that_is_none_of_the_training_is_named() -> None:
    machine = JobInstances("ml.m5.large", 2, sharded_channel="trian")
    with pytest.raises(MlopsError, match="no channel 'trian': its channels are test, train"):
        training_request("train.py", {}, order(machine=machine))


def test_spot_waits_and_the_script_knows_where_checkpoints_are_kept() -> None:
    spot = JobInstances("ml.m5.large", max_runtime_minutes=90, spot=True, max_wait_minutes=120)
    request = training_request("train.py", {}, order(machine=spot))
    assert request["EnableManagedSpotTraining"] is True
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 5400, "MaxWaitTimeInSeconds": 7200}
    assert request["CheckpointConfig"] == {"S3Uri": "s3://bucket/checkpoints/", "LocalPath": "/opt/ml/checkpoints"}
    assert request["Environment"]["SM_CHECKPOINT_DIR"] == "/opt/ml/checkpoints"


def test_jobs_are_tagged_and_isolated() -> None:
    expected = [{"Key": "mlops:project", "Value": "tiny"}, {"Key": "mlops:environment", "Value": "dev"}]
    assert training_request("train.py", {}, order())["Tags"] == processing()["Tags"] == expected
    assert processing(isolated=True)["NetworkConfig"] == {"EnableNetworkIsolation": True}


def test_a_job_name_is_valid_for_any_name_of_the_endpoint() -> None:
    name = job_name("e" * 40, "preprocess", "3f2a91c0-1234", "k3x9")
    assert name == "e" * 40 + "--preproces-3f2a91-k3x9"
    assert len(name) <= NAME_LENGTH


@pytest.mark.parametrize(
    ("endpoint", "other_endpoint"), [("x-dev", "x-dev-eu"), ("x-dev", "x-dev-train"), ("x-dev-eu", "x-dev")]
)
def test_the_pattern_of_an_endpoints_jobs_matches_no_job_of_another_endpoint(
    endpoint: str, other_endpoint: str
) -> None:
    assert fnmatchcase(job_name(endpoint, "train", "3f2a91c0", "k3x9"), f"{endpoint}--*")
    assert not fnmatchcase(job_name(other_endpoint, "train", "3f2a91c0", "k3x9"), f"{endpoint}--*")


@pytest.mark.parametrize("runner", ["digests", "secrets"])
def test_a_signal_that_comes_while_the_script_is_started_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    start = subprocess.Popen

    def stopped_meanwhile(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*arguments, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return process

    monkeypatch.setattr(subprocess, "Popen", stopped_meanwhile)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    command = ["sleep", "30"]
    try:
        code = output_digests.run(tmp_path, command) if runner == "digests" else secrets_runner.run(command, {})
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 128 + signal.SIGTERM
    assert not (tmp_path / "output").exists()
