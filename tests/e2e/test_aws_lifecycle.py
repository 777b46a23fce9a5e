"""The whole lifecycle on the simulated AWS through the CLI, which is given an endpoint and test credentials only."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from mlops_cli.stages import STAGES
from tests.aws_simulator.accounts import user
from tests.aws_simulator.fixture import Aws, aws, aws_server
from tests.conftest import ROOT, wait_for
from tests.e2e.cloud import PIPELINE, Cloud, cloud, everything, git, project, statuses

pytestmark = pytest.mark.slow
__all__ = ["aws", "aws_server", "cloud", "project"]


def test_from_deploying_to_cleaning_up(project: Path, aws: Aws) -> None:
    (project / ".gitignore").write_text(".env\n.mlops/\nreached-*\n*.csv\n__pycache__\n")
    git(project, "init", "-q")
    git(project, "add", ".")
    cloud = Cloud(project, aws)
    assert "CREATE_COMPLETE" in cloud("deploy-infra", "--yes")
    assert cloud.json("runs") == [], "the execution that CodePipeline starts by itself is no run"
    cloud("download-data", "--source", "tiny.csv")

    out = cloud("run")
    (run,) = cloud.json("runs")
    assert f"next: mlops approve --run-id {run['id']}" in out
    assert "Evidence for run" in out
    status = cloud.json("status")
    assert (status["run"]["status"], status["endpoint"]["state"]) == ("waiting", "absent")

    done = cloud.json("approve", "--run-id", run["id"][:8], "--comment", "fine", "--yes")
    assert set(statuses(done).values()) == {"done"}
    assert (done["status"], done["decision"]["comment"], done["decision"]["actor"]["name"]) == ("done", "fine", "root")
    assert done["evidence"]["metrics"]["long"]["roc_auc"] == pytest.approx(0.6)

    found = cloud.json("test-endpoint", "--text", "hello", "--text", "you")
    assert [scores["long"] for _, scores in found["probe"]["rows"]] == [5.0, 3.0]
    assert found["endpoint"]["is_what_was_approved"] is True
    assert found["gate"] == {"passed": 1, "failed": 0, "failures": []}

    again = cloud.json("run")
    assert (again["id"], again["changed"]) == (run["id"], False)

    cloud.edit("train.py", "0.4 + 0.2", "0.5 + 0.2")
    explained = cloud("run", "--explain")
    assert "training/train.py changed" in explained
    assert f"unchanged since run {run['id']}" in explained
    second = cloud.json("status")["run"]
    assert statuses(second)["preprocess"] == "reused"
    assert f"of run {run['id']}" in cloud("approve", "--run-id", second["id"], "--yes")
    live = cloud.json("status")["endpoint"]
    assert live["is_what_was_approved"] is True
    assert live["live_digest"] == {stage["name"]: stage["output"] for stage in second["stages"]}["train"]
    assert [one["status"] for one in cloud.json("runs")] == ["done", "done"]
    assert "progress 1/1 epoch 1" in cloud("logs", second["id"], "--stage", "train")
    assert aws.denials() == []

    assert "proof: looked again, nothing that mlops made is left" in cloud("cleanup", "--yes")
    assert {kind: left for kind, left in everything(aws).items() if left} == {}
    assert (project / "tiny.csv").exists()
    assert "nothing to remove" in cloud("cleanup", "--yes")


def test_a_rejected_model_is_not_deployed_and_asked_about_again(cloud: Cloud) -> None:
    cloud.ready()
    run = cloud.json("run")
    rejected = cloud.json("approve", "--run-id", run["id"], "--reject", "--comment", "too rude", "--yes")
    assert (rejected["status"], rejected["decision"]["comment"]) == ("rejected", "too rude")
    assert cloud.json("status")["endpoint"]["state"] == "absent"
    assert "was rejected by root: too rude" in cloud("approve", "--run-id", run["id"], "--yes", code=4)
    again = cloud("run")
    assert "This very model was REJECTED by root" in again
    assert "too rude" in again
    packages = cloud.aws.client("sagemaker").list_model_packages(ModelPackageGroupName="tiny-dev")
    found = [one["ModelApprovalStatus"] for one in packages["ModelPackageSummaryList"]]
    assert sorted(found) == ["PendingManualApproval", "Rejected"]


def test_a_gate_that_fails_says_which_assertion_and_a_mended_one_goes_on(cloud: Cloud) -> None:
    cloud.ready().edit("tests/test_pretraining.py", ">= 3", ">= 300")
    _, err = cloud.both("run", code=3)
    assert "test_there_are_rows: there are only 20 rows, expected at least 3" in err
    failed = cloud.json("status")["run"]
    assert f"Log: mlops logs {failed['id']} --stage pre-training-tests" in err
    assert "1 failed" in cloud("logs", "--stage", "pre-training-tests")
    cloud.edit("tests/test_pretraining.py", ">= 300", ">= 3")
    run = cloud.json("run")
    assert (run["status"], statuses(run)["preprocess"]) == ("waiting", "reused")


def test_a_script_that_fails_shows_its_last_lines_and_is_retried_in_the_same_run(cloud: Cloud) -> None:
    cloud.ready()
    trouble = cloud.folder.parent / "trouble"  # not in the project: its state must stay the same
    trouble.touch()
    stop = f"if __import__('os').path.exists({str(trouble)!r}):\n    raise SystemExit('no luck today')\n"
    cloud.edit("train.py", "model = Path", f"{stop}model = Path")
    _, err = cloud.both("run", code=3)
    assert "no luck today" in err
    assert "train.py failed: AlgorithmError" in err
    assert "hint: Fix it, then continue: mlops run" in err
    assert "Traceback" not in err
    failed = cloud.json("status")["run"]
    assert statuses(failed)["train"] == "failed"
    assert "no luck today" in cloud("logs", "--stage", "train")
    trouble.unlink()
    run = cloud.json("run")
    assert (run["id"], run["status"]) == (failed["id"], "waiting")


def test_a_quota_that_is_used_up_is_said(cloud: Cloud) -> None:
    cloud.ready().aws.control("sagemaker-quota", quota="ml.m5.xlarge for training job usage", limit=0)
    assert "ml.m5.xlarge for training job usage" in cloud("run", code=3)


def test_an_alarm_rolls_the_endpoint_back_and_is_said(cloud: Cloud) -> None:
    cloud.ready()
    first = cloud.approved()
    live = cloud.json("status")["endpoint"]["live_digest"]
    cloud.aws.control("sagemaker-fire", endpoint="tiny-dev")
    second = cloud.json("run", "--set", "epochs=2")
    _, err = cloud.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert "The endpoint could not be deployed" in err
    assert "alarm" in err.lower()
    status = cloud.json("status")
    assert statuses(status["run"])["deploy"] == "failed"
    assert (status["endpoint"]["state"], status["endpoint"]["live_digest"]) == ("in-service", live)
    assert first["id"] != second["id"]


def test_ctrl_c_leaves_the_run_running_and_says_how_to_return(cloud: Cloud) -> None:
    cloud.ready()
    held = cloud.held("train.py")
    with cloud.going("run") as process:
        wait_for(lambda: training(cloud), 120)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    run_id = cloud.json("runs")[0]["id"]
    assert f"Run {run_id} goes on on AWS" in err
    assert f"mlops status {run_id} --follow" in err
    assert "Traceback" not in err
    assert training(cloud)
    with cloud.going("status", run_id, "--follow") as watcher:
        held.unlink()
        out, _ = watcher.communicate(timeout=120)
    assert watcher.returncode == 0
    assert f"next: mlops approve --run-id {run_id}" in out


def training(cloud: Cloud) -> bool:
    """Whether a training job is at work."""
    return bool(cloud.aws.client("sagemaker").list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"])


def test_a_run_that_is_ended_takes_its_job_with_it(cloud: Cloud) -> None:
    cloud.ready()
    held = cloud.held("train.py")
    cloud("run", "--detach")
    wait_for(lambda: training(cloud), 120)
    stopped = cloud.json("stop")
    assert (stopped["status"], statuses(stopped)["train"]) == ("interrupted", "interrupted")
    (job,) = cloud.aws.client("sagemaker").list_training_jobs()["TrainingJobSummaries"]
    assert job["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert "nothing of it is running" in cloud("stop")
    held.unlink()
    run = cloud.json("run")
    assert (run["status"], run["id"] != stopped["id"], statuses(run)["preprocess"]) == ("waiting", True, "reused")


def test_a_killed_command_is_repeated_and_goes_along_with_its_run(cloud: Cloud) -> None:
    cloud.ready()
    held = cloud.held("train.py")
    with cloud.going("run") as process:
        wait_for(lambda: training(cloud), 120)
        process.kill()
        process.communicate()
    held.unlink()
    run = cloud.json("run")
    assert run["status"] == "waiting"
    assert len(cloud.json("runs")) == 1


def test_a_decision_in_the_aws_console_counts(cloud: Cloud) -> None:
    cloud.ready()
    assert "goes on in the background" in cloud("run", "--detach")
    run_id = cloud.json("status", "--follow")["run"]["id"]
    pipeline = cloud.aws.client("codepipeline")
    stages = {one["stageName"]: one for one in pipeline.get_pipeline_state(name=PIPELINE)["stageStates"]}
    (token,) = [
        one["latestExecution"]["token"] for one in stages["approval"]["actionStates"] if one["actionName"] == "decision"
    ]
    pipeline.put_approval_result(
        pipelineName=PIPELINE,
        stageName="approval",
        actionName="decision",
        result={"summary": "seen in the console", "status": "Approved"},
        token=token,
    )
    done = cloud.json("status", run_id, "--follow")
    assert (done["run"]["status"], done["run"]["decision"]["comment"]) == ("done", "seen in the console")
    assert done["endpoint"]["is_what_was_approved"] is True
    (package,) = cloud.aws.client("sagemaker").list_model_packages(ModelPackageGroupName="tiny-dev")[
        "ModelPackageSummaryList"
    ]
    assert package["ModelApprovalStatus"] == "Approved"


def test_a_newer_run_overtakes_one_that_waits_for_a_decision(cloud: Cloud) -> None:
    cloud.ready()
    old = cloud.json("run")
    new = cloud.json("run", "--set", "epochs=2")
    assert (new["status"], new["id"] != old["id"]) == ("waiting", True)
    assert cloud.json("status", old["id"])["run"]["status"] == "superseded"
    assert f"mlops status {new['id']}" in cloud("approve", "--run-id", old["id"], "--yes", code=1)
    assert cloud.json("approve", "--run-id", new["id"], "--yes")["status"] == "done"


def test_an_approval_holds_for_the_same_model_in_later_runs(cloud: Cloud) -> None:
    cloud.ready()
    first = cloud.approved()
    (cloud.folder / "README.md").write_text("nothing that a stage is made from")
    run = cloud.json("run")
    assert (run["status"], set(statuses(run).values())) == ("done", {"reused"})
    assert run["id"] != first["id"]
    assert run["decision"]["forwarded_from"] == first["id"]
    forced = cloud.json("run", "--from", "train")
    assert statuses(forced) == {
        **dict.fromkeys([stage.name for stage in STAGES], "pending"),
        "preprocess": "reused",
        "pre-training-tests": "reused",
        "train": "done",
        "approval": "waiting",
    }


def test_who_watches_a_run_decides_nothing(cloud: Cloud) -> None:
    """Not even what somebody else has decided about the very same model: the run's own command passes that on."""
    cloud.ready().approved("--set", "epochs=2")
    (cloud.folder / "README.md").write_text("nothing that a stage is made from")
    cloud("run", "--set", "epochs=2", "--detach")
    everything, but = {"Action": "*", "Resource": "*"}, {"Action": "codepipeline:PutApprovalResult", "Resource": "*"}
    keys = user(cloud.aws, "watcher", everything, {"Effect": "Deny", **but})
    watcher = Cloud(cloud.folder, cloud.aws, SOURCE="s3", **{name.upper(): value for name, value in keys.items()})
    seen = watcher("status", "--follow")
    run_id = cloud.json("runs")[0]["id"]
    assert "decided already, approved by root" in " ".join(seen.split())
    assert f"next: mlops approve --run-id {run_id}" in seen
    (gate,) = (one for one in cloud.json("status")["run"]["stages"] if one["name"] == "approval")
    assert gate["reason"].startswith("decided already")
    done = cloud.json("run", "--set", "epochs=2")
    assert (done["id"], done["status"], set(statuses(done).values())) == (run_id, "done", {"reused"})


def test_a_bucket_of_ones_own_survives(project: Path, aws: Aws) -> None:
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="ours-alone")
    s3.put_bucket_versioning(Bucket="ours-alone", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="ours-alone", Key="letters/a.txt", Body=b"mine")
    cloud = Cloud(project, aws, SOURCE="s3", BUCKET_NAME="ours-alone").ready()
    cloud.approved()
    assert "proof" in cloud("cleanup", "--yes")
    left = everything(aws)
    assert left.pop("buckets") == ["ours-alone"]
    assert not any(left.values())
    versions = s3.list_object_versions(Bucket="ours-alone")
    assert [one["Key"] for one in versions["Versions"]] == ["letters/a.txt"]


def test_before_anything_is_there_every_command_says_what_comes_first(cloud: Cloud) -> None:
    assert "mlops deploy-infra" in cloud("run", code=2)
    assert "mlops deploy-infra" in cloud("status", code=2)
    cloud("deploy-infra", "--yes")
    assert "mlops download-data" in cloud("run", code=1)
    assert "There is no run yet" in cloud("status", code=1)
    assert json.loads(cloud("runs", "--json")) == []


def test_the_use_case_that_comes_with_it_on_its_sample(project_folder: Path, aws: Aws) -> None:
    """Real preprocessing, training, serving and gates, as jobs and steps on AWS."""
    shutil.copytree(ROOT / "templates", project_folder / "templates")
    cloud = Cloud(project_folder, aws, SOURCE="s3")
    cloud("deploy-infra", "--yes")
    cloud("download-data", "--source", "sample")
    run = cloud.json("run")
    assert run["status"] == "waiting"
    done = cloud.json("approve", "--run-id", run["id"], "--comment", "on the sample", "--yes")
    assert set(statuses(done).values()) == {"done"}
    assert done["evidence"]["data"]["synthetic"] is True
    found = cloud.json("test-endpoint", "--text", "You are a stupid idiot.")
    ((_, scores),) = found["probe"]["rows"]
    assert scores["toxic"] > 0.5
    assert (found["gate"]["failed"], found["endpoint"]["is_what_was_approved"]) == (0, True)
    assert "proof" in cloud("cleanup", "--yes")
