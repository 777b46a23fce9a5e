"""Jobs of several machines on the simulated AWS: sharded preprocessing, workers, and a spot interruption."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aws_simulator.fixture import Aws, aws, aws_server
from tests.conftest import ROOT, Cli, wait_for

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server"]
ROWS = 4000


@pytest.fixture
def project(project_folder: Path) -> Path:
    """The toxic comments on two machines of each kind, those for training on spot capacity."""
    shutil.copytree(ROOT / "templates", project_folder / "templates")
    path = project_folder / "training" / "usecase.toml"
    text = path.read_text().replace("instance_count = 1\nvolume_gb", "instance_count = 2\nvolume_gb")
    text = text.replace("spot = false", "spot = true").replace("checkpoint_seconds = 60.0", "checkpoint_seconds = 0.1")
    path.write_text(text)
    return project_folder


def test_two_machines_of_each_kind_and_an_interruption(project: Path, aws: Aws, tmp_path: Path) -> None:
    cli = Cli(project, {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    cli("deploy-infra", "--yes")
    cli("download-data", "--source", "sample", "--rows", str(ROWS))
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"] if "source" not in one["Name"])

    def keys(part: str) -> list[str]:
        return [one["Key"] for one in s3.list_objects_v2(Bucket=bucket).get("Contents", []) if part in one["Key"]]

    assert len(keys("data/shards-")) == 2
    with cli.start("run", "--json") as process:
        wait_for(lambda: keys("/notes.json") or process.poll() is not None, 240)
        assert process.poll() is None, cli("logs", "--stage", "pre-training-tests")  # else the job was over too early
        (job,) = (one["TrainingJobName"] for one in sagemaker.list_training_jobs()["TrainingJobSummaries"])
        aws.control("sagemaker-interrupt", job=job)
        out, _ = process.communicate(timeout=600)
    assert process.returncode == 0, cli("logs", "--stage", "train")[-3000:]
    run = json.loads(out)
    assert run["status"] == "waiting"
    assert "resumes after step" in cli("logs", run["id"], "--stage", "train")
    transitions = sagemaker.describe_training_job(TrainingJobName=job)["SecondaryStatusTransitions"]
    assert "Interrupted" in [one["Status"] for one in transitions]

    alone = tmp_path / "alone"
    command = [sys.executable, "preprocess.py", "--input-dir", str(project / ".mlops" / "data")]
    subprocess.run([*command, "--output-dir", str(alone)], cwd=project / "training", check=True, capture_output=True)
    for path in sorted(file for file in alone.rglob("*") if file.is_file()):
        (key,) = keys(f"/{path.relative_to(alone).as_posix()}")
        assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == path.read_bytes(), key
    assert aws.denials() == []
    data_that_were_sent_for_fewer_machines_are_sent_again(cli)


def data_that_were_sent_for_fewer_machines_are_sent_again(cli: Cli) -> None:
    path = cli.folder / "training" / "usecase.toml"
    path.write_text(path.read_text().replace("instance_count = 2\nvolume_gb", "instance_count = 3\nvolume_gb"))
    refused = cli("run", code=1)
    assert "3 instances" in refused
    assert "mlops download-data" in refused
    assert cli.json("download-data", "--source", "sample", "--rows", str(ROWS))["changed"] is True
    assert cli.json("download-data", "--source", "sample", "--rows", str(ROWS))["changed"] is False
