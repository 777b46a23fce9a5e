"""A run made again on the simulated AWS through the CLI, beside everything else."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from aws_simulator.fixture import aws_server
from tests.conftest import wait_for
from tests.e2e.cloud import Cloud, git, shared

pytestmark = pytest.mark.slow
__all__ = ["aws_server", "shared"]


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


def test_what_was_never_trained_cannot_be_made_again(shared: Cloud) -> None:
    shared.edit("tests/test_pretraining.py", ">= 3", ">= 300")
    shared.both("run", code=3)
    assert "has no trained model to reproduce" in shared("reproduce", code=1)
    shared.edit("tests/test_pretraining.py", ">= 300", ">= 3")


def test_a_run_made_again_is_the_same_and_touches_nothing(shared: Cloud) -> None:
    run = shared.live()
    before, jobs_before = state(shared), again(shared)
    found = shared.json("reproduce", run["id"][:8])
    assert (found["same"], found["run_id"], found["metrics"]) == (True, run["id"], [])
    assert [stage["input_changes"] for stage in found["stages"]] == [[], []]
    assert state(shared) == before
    assert [status for name, status in again(shared).items() if name not in jobs_before] == ["Completed"]
    assert shared.json("run")["changed"] is False


def test_the_manifest_tells_where_a_run_was_made(shared: Cloud) -> None:
    (shared.folder / ".gitignore").write_text(".mlops/\nreached-*\n*.csv\n__pycache__\n")
    git(shared.folder, "init", "-q")
    git(shared.folder, "add", ".")
    git(shared.folder, "commit", "-qm", "first")
    shared.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    run = shared.json("run", "--set", "epochs=2")
    shared.edit("train.py", "0.3 + 0.2", "0.4 + 0.2")
    found = shared.json("status", run["id"])["manifest"]
    assert (len(found["git"]["commit"]), found["git"]["dirty"], len(found["git"]["diff_sha256"])) == (40, True, 64)
    assert found["machine"]["train"]["instance_type"] == "ml.m5.xlarge"
    assert found["requirements"]["train"] == []
    train = found["stages"]["train"]["cache_inputs"]
    assert (train["epochs"], "tensorflow-training" in train["image"]) == ("2", True)
    assert len(found["stages"]["preprocess"]["cache_inputs"]["the data"]) == 64
    assert len(train["training/train.py"]) == 64


def test_what_differs_is_named_and_a_script_that_fails_shows_its_last_lines(shared: Cloud) -> None:
    run, script = shared.live(), shared.folder / "training" / "train.py"
    text = script.read_text()
    shared.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    shared.edit("train.py", "str(arguments.epochs)", "'other'")
    use_case = shared.folder / "training" / "usecase.toml"
    before = use_case.read_text()
    use_case.write_text(f'{before}\n[aws.train]\ninstance_type = "ml.m5.2xlarge"\n')
    # INSTANCE is of no effect: the pipeline was deployed without it.
    larger = Cloud(shared.folder, shared.aws, SOURCE="s3", INSTANCE="ml.m5.4xlarge")
    out = larger("reproduce", run["id"], "--yes", code=3)
    assert f"run {run['id']} is reproduced with the present scripts, settings and data, as jobs on aws" in out
    assert "note: INSTANCE is ml.m5.4xlarge (environment), and the pipeline was deployed with none" in out
    assert "preprocess: same output" in out
    assert "  training/train.py: " in out
    assert "  machine instance_type: ml.m5.xlarge → ml.m5.2xlarge" in out
    assert "metric test macro roc_auc: 0.6 → 0.5" in out
    assert f"run {run['id']}: DIFFERENT" in out
    shared.edit("train.py", "model = Path", "raise SystemExit('no luck today')\nmodel = Path")
    _, err = larger.both("reproduce", run["id"], "--yes", code=3)
    assert "train.py failed: AlgorithmError" in err
    assert "no luck today" in err
    script.write_text(text)
    use_case.write_text(before)


def test_ctrl_c_stops_the_job(shared: Cloud) -> None:
    run = shared.live()
    before, jobs_before = keys(shared), again(shared)
    held = shared.held("train.py")
    with shared.going("reproduce", run["id"]) as process:
        wait_for(lambda: "InProgress" in again(shared).values(), 120)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Stopped; the job on AWS was stopped, too." in err
    assert "Traceback" not in err

    def ending() -> set[str]:
        return {status for name, status in again(shared).items() if name not in jobs_before}

    # One that was still fetching what lay in the folder that is gone fails before it is stopped.
    wait_for(lambda: ending() in ({"Stopped"}, {"Failed"}), 120)
    assert keys(shared).keys() <= before.keys()
    held.unlink()


def killed(cloud: Cloud, run_id: str) -> None:
    """A reproduction that is killed while its training goes on."""
    with cloud.going("reproduce", run_id) as process:
        wait_for(lambda: "InProgress" in again(cloud).values(), 120)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)


def test_a_killed_one_is_made_again_or_cleaned_up(shared: Cloud) -> None:
    run = shared.live()
    held = shared.held("train.py")
    killed(shared, run["id"])
    held.unlink()
    shared.edit("train.py", "import time\n", "import time  # changed\n")
    assert shared.json("reproduce", run["id"])["same"] is True, "how a script is written is not what it makes"
    assert "InProgress" not in again(shared).values()
    held.touch()
    killed(shared, run["id"])
    assert "state machine execution" in shared("cleanup", "--dry-run")
    assert "verified: no resources created by mlops remain" in shared("cleanup", "--yes")
