"""Runs through the CLI: a failed gate, a rejected model, and a reproduction that changes nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any

import pytest

from tests.conftest import LIMIT_SECONDS, Cli, wait_for
from tests.harness.cloud import Cloud, git, packages, shared
from tests.harness.lifecycle import approved_run, hold, reached, statuses
from tests.harness.targets import either

pytestmark = pytest.mark.slow
__all__ = ["either", "shared"]


def keys(cloud: Cloud) -> dict[str, str]:
    """Return the keys and versions of the project's objects, except CodePipeline's artifacts."""
    s3 = cloud.aws.client("s3")
    (bucket,) = (bucket["Name"] for bucket in s3.list_buckets()["Buckets"])
    listed = s3.list_object_versions(Bucket=bucket, Prefix="tiny-dev/")
    return {entry["Key"]: entry["VersionId"] for entry in [*listed["Versions"], *listed.get("DeleteMarkers", ())]}


def jobs(cloud: Cloud) -> dict[str, str]:
    summaries = cloud.aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    return {job["TrainingJobName"]: job["TrainingJobStatus"] for job in summaries}


def again(cli: Cli) -> dict[str, str]:
    """Return the training jobs of reproductions by name, with their status; none on one machine."""
    if not isinstance(cli, Cloud):
        return {}
    return {name: status for name, status in jobs(cli).items() if name.startswith("tiny-dev--again-")}


def state(cli: Cli) -> dict[str, Any]:
    """Return everything that a reproduction must not change."""
    objects = keys(cli) if isinstance(cli, Cloud) else (cli.folder / ".mlops" / "reproduction").exists()
    return {"objects": objects, "runs": cli.json("runs"), "models": cli.json("models")}


def test_a_failed_gate_names_the_assertion_and_run_continues_after_the_fix(either: Cli) -> None:
    either.edit("tests/test_pretraining.py", ">= 3", ">= 300")
    _, err = either.both("run", code=3)
    assert "test_there_are_rows: there are only 20 rows, expected at least 3" in err
    assert "mlops run" in err
    failed = either.json("status")["run"]
    log = f"Log: mlops logs {failed['id']} --stage pre-training-tests" if isinstance(either, Cloud) else ".log"
    assert log in err
    assert "1 failed" in either("logs", "--stage", "pre-training-tests")
    assert "has no trained model to reproduce" in either("reproduce", code=1)
    either.edit("tests/test_pretraining.py", ">= 300", ">= 3")
    hold, kill = 'hold("pre-training-tests")', "os.kill(os.getpid(), 9)"
    either.edit("tests/test_pretraining.py", hold, kill)
    unfinished = "could not finish, so its tests have no result: pytest was ended by SIGKILL before its tests did."
    assert f"error: The gate pre-training-tests {unfinished}" in either.both("run", code=3)[1]
    assert unfinished in either("status")
    either.edit("tests/test_pretraining.py", kill, hold)
    run = either.json("run")
    # On AWS another commit is another execution.
    is_same_run, preprocess = (False, "reused") if isinstance(either, Cloud) else (True, "done")
    assert (run["status"], run["id"] == failed["id"]) == ("waiting", is_same_run)
    assert statuses(run)["preprocess"] == preprocess


def test_a_rejected_model_is_not_deployed_and_a_new_run_asks_again(either: Cli) -> None:
    run = either.json("run")
    rejected = either.json("approve", "--run-id", run["id"], "--reject", "--comment", "too rude", "--yes")
    assert (rejected["status"], rejected["decision"]["comment"]) == ("rejected", "too rude")
    assert either.json("status")["endpoint"]["state"] == "absent"
    assert "was rejected by" in either("approve", "--run-id", run["id"], "--yes", code=4)
    second_run = either("run")
    assert "This model was already REJECTED by" in second_run
    assert "too rude" in second_run
    if isinstance(either, Cloud):
        assert "REJECTED by root" in second_run
        status = packages(either)
        assert (status[run["id"]], status[either.json("runs")[0]["id"]]) == ("Rejected", "PendingManualApproval")


def test_a_run_made_again_is_the_same_and_touches_nothing(either: Cli) -> None:
    run = either.live()
    before, jobs_before = state(either), again(either)
    reproduction = either.json("reproduce", run["id"][:8])
    assert (reproduction["same"], reproduction["run_id"], reproduction["metrics"]) == (True, run["id"], [])
    assert [stage["input_changes"] for stage in reproduction["stages"]] == [[], []]
    assert state(either) == before
    ended = [status for name, status in again(either).items() if name not in jobs_before]
    assert ended == (["Completed"] if isinstance(either, Cloud) else [])
    assert either.json("run")["changed"] is False


def test_the_manifest_has_the_origin_of_a_run(either: Cli) -> None:
    assert either.json("status", either.live()["id"])["manifest"]["git"] is None
    (either.folder / ".gitignore").write_text(".mlops/\nreached-*\n*.csv\n__pycache__\n")
    git(either.folder, "init", "-q")
    git(either.folder, "add", ".")
    git(either.folder, "commit", "-qm", "first")
    either.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    run = either.json("run", "--set", "epochs=2")
    either.edit("train.py", "0.3 + 0.2", "0.4 + 0.2")
    manifest = either.json("status", run["id"])["manifest"]
    origin = manifest["git"]
    assert (len(origin["commit"]), origin["dirty"], len(origin["diff_sha256"])) == (40, True, 64)
    train = manifest["stages"]["train"]["cache_inputs"]
    assert (train["epochs"], len(train["training/train.py"])) == ("2", 64)
    assert len(manifest["stages"]["preprocess"]["cache_inputs"]["the data"]) == 64
    assert "package" not in manifest["stages"]["train"]["output"]
    if isinstance(either, Cloud):
        assert manifest["machine"]["train"]["instance_type"] == "ml.m5.xlarge"
        assert (manifest["requirements"]["train"], "sagemaker-scikit-learn" in train["image"]) == ([], True)
    else:
        assert manifest["machine"]["cpus"] >= 1


def on_a_larger_machine(cli: Cli) -> tuple[Cli, list[str]]:
    """Change the instance type. Return the project and the lines that report the change; no lines on one machine."""
    if not isinstance(cli, Cloud):
        return cli, []
    use_case = cli.folder / "training" / "usecase.toml"
    use_case.write_text(f'{use_case.read_text()}\n[aws.train]\ninstance_type = "ml.m5.2xlarge"\n')
    # INSTANCE is of no effect: the pipeline was deployed without it.
    lines = [
        "with the present scripts, settings and data, as jobs on aws",
        "note: INSTANCE is ml.m5.4xlarge (environment variable), and the pipeline was deployed with none",
        "  machine instance_type: ml.m5.xlarge → ml.m5.2xlarge",
    ]
    return Cloud(cli.folder, cli.aws, SOURCE="s3", INSTANCE="ml.m5.4xlarge"), lines


def test_a_difference_is_named_and_a_script_that_fails_shows_its_last_lines(either: Cli) -> None:
    run, training = either.live(), either.folder / "training"
    before = {file: file.read_text() for file in (training / "train.py", training / "usecase.toml")}
    either.edit("train.py", "0.4 + 0.2", "0.3 + 0.2")
    either.edit("train.py", "str(arguments.epochs)", "'7'")
    changed, lines = on_a_larger_machine(either)
    out = changed("reproduce", run["id"], "--yes", code=3)
    for line in (
        "preprocess: same output",
        "  training/train.py: ",
        "metric test macro roc_auc: 0.6 → 0.5",
        f"run {run['id']}: DIFFERENT",
        *lines,
    ):
        assert line in out
    either.edit("train.py", "model = Path", "raise SystemExit('no luck today')\nmodel = Path")
    _, err = changed.both("reproduce", run["id"], "--yes", code=3)
    assert ("train.py failed: AlgorithmError" if lines else "train.py ended with exit code 1") in err
    assert "no luck today" in err
    for file, content in before.items():
        file.write_text(content)
    assert either.json("status")["endpoint"]["is_what_was_approved"] is True


def test_ctrl_c_stops_the_job_on_aws(shared: Cloud) -> None:
    run = shared.live()
    before, jobs_before = keys(shared), again(shared)
    held = shared.held("train.py")
    with shared.going("reproduce", run["id"]) as process:
        wait_for(lambda: "InProgress" in again(shared).values())
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    assert "Stopped; the job on AWS was stopped, too." in err
    assert "Traceback" not in err

    def ending() -> set[str]:
        return {status for name, status in again(shared).items() if name not in jobs_before}

    # One that was still fetching what lay in the folder that is gone fails before it is stopped.
    wait_for(lambda: ending() in ({"Stopped"}, {"Failed"}))
    assert keys(shared).keys() <= before.keys()
    held.unlink()


def killed(cloud: Cloud, run_id: str) -> None:
    """Kill a reproduction during its training."""
    with cloud.going("reproduce", run_id) as process:
        wait_for(lambda: "InProgress" in again(cloud).values())
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=LIMIT_SECONDS)


def test_a_killed_reproduction_on_aws_is_made_again_or_cleaned_up(shared: Cloud) -> None:
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


def test_the_manifest_names_the_commit_that_the_model_was_made_at(tiny: Cli) -> None:
    def commit(name: str) -> str:
        git = ["git", "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
        subprocess.run([*git, "add", "training"], cwd=tiny.folder, check=True)
        subprocess.run([*git, "commit", "-q", "-m", name], cwd=tiny.folder, check=True)
        return subprocess.check_output([*git, "rev-parse", "HEAD"], cwd=tiny.folder, text=True).strip()

    subprocess.run(["git", "init", "-q"], cwd=tiny.folder, check=True)
    tiny.edit("train.py", "model = Path", "raise SystemExit('no luck')\nmodel = Path")
    tiny.edit("tests/test_posttraining.py", "[3.0, 5.0]", "[3.0, 5.1]")
    commit("neither trains nor passes")
    tiny("run", code=3)
    tiny.edit("train.py", "raise SystemExit('no luck')\n", "")
    trains = commit("trains")
    run_id = tiny.json("run")["id"]
    assert tiny.json("status", run_id)["manifest"]["git"]["commit"] == trains
    tiny("approve", "--run-id", run_id, "--yes", code=3)
    tiny.edit("tests/test_posttraining.py", "[3.0, 5.1]", "[3.0, 5.0]")
    commit("passes")
    assert tiny.json("run")["id"] == run_id
    assert tiny.json("status", run_id)["manifest"]["git"]["commit"] == trains


def test_a_killed_reproduction_leaves_nothing_that_stays(tiny: Cli) -> None:
    run = approved_run(tiny)
    held = hold(tiny, "train")
    reached(tiny, "train").unlink(missing_ok=True)
    with tiny.start("reproduce", run["id"]) as process:
        wait_for(reached(tiny, "train").exists)
        _, err = tiny.both("run", code=1)
        assert f"hint: Wait until it has ended, and try again. Or end it: kill {process.pid}" in err
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    reached(tiny, "train").unlink()
    with tiny.start("reproduce", run["id"]) as process:
        wait_for(reached(tiny, "train").exists)
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert f"hint: Start again: mlops reproduce {run['id']}" in err
    held.unlink()
    assert tiny.json("status")["run"]["status"] == "done"
    assert f"run {run['id']}: same" in tiny("reproduce", run["id"])
    assert not (tiny.folder / ".mlops" / "reproduction").exists()
    assert "verified: no resources created by mlops remain" in tiny("cleanup", "--yes")
