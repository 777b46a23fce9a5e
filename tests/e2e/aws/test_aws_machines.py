"""Jobs with several instances on the simulated AWS: sharded preprocessing, workers, and a spot interruption."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import LIMIT_SECONDS, ROOT, Cli, wait_for

pytestmark = pytest.mark.slow
ROWS = 4000


@pytest.fixture
def project(project_folder: Path) -> Path:
    """Provide the comments' use case with two instances for each job, those for training on spot capacity."""
    shutil.copytree(ROOT / "templates", project_folder / "templates")
    path = project_folder / "training" / "usecase.toml"
    text = path.read_text().replace("instance_count = 1\nvolume_gb", "instance_count = 2\nvolume_gb")
    text = text.replace("spot = false", "spot = true").replace("checkpoint_seconds = 60.0", "checkpoint_seconds = 0.1")
    path.write_text(text)
    return project_folder


def pause_in_each_bucket(script: Path, folder: Path) -> None:
    """Let each worker of preprocess.py wait in its first bucket for a file in ``folder``, and write its name there."""
    folder.mkdir()
    start = "    profile = Profile()\n    if not parts:\n"
    text = script.read_text()
    assert text.count(start) == 1
    waiting = f"while not (Path({str(folder)!r}) / 'go-on').exists():"
    pause = f"    (Path({str(folder)!r}) / str(os.getpid())).touch()\n    {waiting}\n        time.sleep(0.05)\n"
    script.write_text(text.replace(start, pause + start))


def kill_the_workers_of(instance: str, folder: Path) -> None:
    """Kill the worker that waits in a bucket on this instance, and the process that would start it again."""

    def waiting_worker() -> int | None:
        workers = [int(path.name) for path in folder.glob("[0-9]*")]
        return next((pid for pid in workers if f"/{instance}/" in str(Path(f"/proc/{pid}/cwd").readlink())), None)

    worker = wait_for(waiting_worker)
    (parent,) = re.findall(r"^PPid:\s+(\d+)", Path(f"/proc/{worker}/status").read_text(), re.M)
    assert "dask_worker" in Path(f"/proc/{parent}/cmdline").read_text()
    os.kill(int(parent), signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it may have ended with its parent
        os.kill(worker, signal.SIGKILL)
    (folder / "go-on").touch()


def test_two_machines_of_each_kind_and_an_interruption(project: Path, aws: Aws, tmp_path: Path) -> None:
    pause_in_each_bucket(project / "training" / "preprocess.py", tmp_path / "paused")
    cli = Cli(project, {**aws.environment, "MLOPS_TARGET": "aws", "SOURCE": "s3"})
    cli("deploy-infra", "--yes")
    cli("download-data", "--source", "sample", "--rows", str(ROWS))
    s3, sagemaker = aws.client("s3"), aws.client("sagemaker")
    (bucket,) = (bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "source" not in bucket["Name"])

    def keys(part: str) -> list[str]:
        return [
            content["Key"]
            for content in s3.list_objects_v2(Bucket=bucket).get("Contents", [])
            if part in content["Key"]
        ]

    assert len(keys("data/shards-")) == 2
    with cli.start("run", "--json") as process:
        kill_the_workers_of("algo-2", tmp_path / "paused")
        wait_for(lambda: keys("/notes.json") or process.poll() is not None)
        assert process.poll() is None, cli("logs", "--stage", "pre-training-tests")  # else the job was over too early
        (job,) = (
            training_job["TrainingJobName"] for training_job in sagemaker.list_training_jobs()["TrainingJobSummaries"]
        )
        aws.control("sagemaker-interrupt", job=job)
        out, _ = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 0, cli("logs", "--stage", "train")[-3000:]
    run = json.loads(out)
    assert run["status"] == "waiting"
    assert "the workers were killed by signal 9 and start again" in cli("logs", run["id"], "--stage", "preprocess")
    assert "resumes after step" in cli("logs", run["id"], "--stage", "train")
    channels = sagemaker.describe_training_job(TrainingJobName=job)["InputDataConfig"]
    sources = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"] for channel in channels}
    assert sources["train"]["S3DataDistributionType"] == "ShardedByS3Key"
    transitions = sagemaker.describe_training_job(TrainingJobName=job)["SecondaryStatusTransitions"]
    assert "Interrupted" in [transition["Status"] for transition in transitions]

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
