"""A run made again on the simulated AWS through the CLI, beside everything else."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.aws_simulator.fixture import aws, aws_server
from tests.conftest import wait_for
from tests.e2e.cloud import Cloud, cloud, git, project

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "cloud", "project"]


def keys(cloud: Cloud) -> dict[str, str]:
    """Every object of the project and its version, CodePipeline's own artifacts aside."""
    s3 = cloud.aws.client("s3")
    (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"])
    found = s3.list_object_versions(Bucket=bucket, Prefix="tiny-dev/")
    return {one["Key"]: one["VersionId"] for one in [*found["Versions"], *found.get("DeleteMarkers", ())]}


def jobs(cloud: Cloud) -> dict[str, str]:
    found = cloud.aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return {one["TrainingJobName"]: one["TrainingJobStatus"] for one in found}


def again(cloud: Cloud) -> dict[str, str]:
    return {name: status for name, status in jobs(cloud).items() if name.startswith("tiny-dev-again-")}


def state(cloud: Cloud) -> dict[str, Any]:
    """All that a reproduction must leave as it was."""
    return {"keys": keys(cloud), "runs": cloud.json("runs"), "models": cloud.json("models")}


def test_a_run_made_again_is_the_same_and_touches_nothing(cloud: Cloud) -> None:
    run = cloud.ready().approved()
    before = state(cloud)
    found = cloud.json("reproduce", run["id"][:8])
    assert (found["same"], found["run_id"], found["metrics"]) == (True, run["id"], [])
    assert [stage["ingredients"] for stage in found["stages"]] == [[], []]
    assert state(cloud) == before
    assert list(again(cloud).values()) == ["Completed"]
    assert cloud.json("run")["changed"] is False


def test_what_differs_is_named_and_a_script_that_fails_shows_its_last_lines(cloud: Cloud) -> None:
    run = cloud.ready().json("run")
    cloud.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    cloud.edit("train.py", "str(arguments.epochs)", "'other'")
    cloud.environment["INSTANCE"] = "ml.m5.4xlarge"  # of no effect: the pipeline was deployed without it
    use_case = cloud.folder / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text() + '\n[aws.train]\ninstance_type = "ml.m5.2xlarge"\n')
    out = cloud("reproduce", run["id"], "--yes", code=3)
    assert f"run {run['id']} is made again from the scripts, settings and data that are here now, as jobs on aws" in out
    assert "note: INSTANCE is ml.m5.4xlarge (environment), and the pipeline was deployed with none" in out
    assert "preprocess: same output" in out
    assert "  training/train.py: " in out
    assert "  machine instance_type: ml.m5.xlarge → ml.m5.2xlarge" in out
    assert "metric test macro roc_auc: 0.6 → 0.5" in out
    assert f"run {run['id']}: NOT the same" in out
    cloud.edit("train.py", "model = Path", "raise SystemExit('no luck today')\nmodel = Path")
    _, err = cloud.both("reproduce", run["id"], "--yes", code=3)
    assert "train.py failed: AlgorithmError" in err
    assert "no luck today" in err


def test_the_manifest_tells_where_a_run_was_made(cloud: Cloud) -> None:
    (cloud.folder / ".gitignore").write_text(".mlops/\nreached-*\n*.csv\n__pycache__\n")
    git(cloud.folder, "init", "-q")
    git(cloud.folder, "add", ".")
    git(cloud.folder, "commit", "-qm", "first")
    cloud.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    run = cloud.ready().json("run", "--set", "epochs=2")
    found = cloud.json("status", run["id"])["manifest"]
    assert (len(found["git"]["commit"]), found["git"]["dirty"], len(found["git"]["diff_sha256"])) == (40, True, 64)
    assert found["machine"]["train"]["instance_type"] == "ml.m5.xlarge"
    assert found["requirements"]["train"] == []
    train = found["stages"]["train"]["ingredients"]
    assert (train["epochs"], "tensorflow-training" in train["image"]) == ("2", True)
    assert len(found["stages"]["preprocess"]["ingredients"]["the data"]) == 64
    assert len(train["training/train.py"]) == 64


def test_ctrl_c_stops_the_job(cloud: Cloud) -> None:
    run = cloud.ready().json("run")
    before = keys(cloud)
    cloud.held("train.py")
    with cloud.going("reproduce", run["id"]) as process:
        wait_for(lambda: "InProgress" in again(cloud).values(), 60)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped, and with it the job on AWS." in err
    assert "Traceback" not in err
    # One that was still fetching what lay in the folder that is gone fails before it is stopped.
    wait_for(lambda: set(again(cloud).values()) in ({"Stopped"}, {"Failed"}), 60)
    assert keys(cloud).keys() <= before.keys()


def killed(cloud: Cloud, run_id: str) -> None:
    """A reproduction that is killed while its training goes on."""
    with cloud.going("reproduce", run_id) as process:
        wait_for(lambda: "InProgress" in again(cloud).values(), 60)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def test_a_killed_one_is_made_anew_or_cleaned_up(cloud: Cloud) -> None:
    run = cloud.ready().json("run")
    held = cloud.held("train.py")
    killed(cloud, run["id"])
    held.unlink()
    cloud.edit("train.py", "import time\n", "import time  # changed\n")
    assert cloud.json("reproduce", run["id"])["same"] is True, "how a script is written is not what it makes"
    assert "InProgress" not in again(cloud).values()
    held.touch()
    killed(cloud, run["id"])
    assert "state machine execution" in cloud("cleanup", "--dry-run")
    assert "proof" in cloud("cleanup", "--yes")


def test_what_was_never_trained_cannot_be_made_again(cloud: Cloud) -> None:
    cloud.ready().edit("tests/test_pretraining.py", ">= 3", ">= 300")
    cloud.both("run", code=3)
    assert "has trained no model that could be made again" in cloud("reproduce", code=1)
