"""Runs of one project on the simulated AWS, in an existing bucket: failed, stopped, decided and continued."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws
from mlops_cli.core.stages import STAGES, Kind
from tests.conftest import LIMIT_SECONDS, wait_for
from tests.harness.cloud import Cloud, everything, packages, tiny_project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
# A gate runs in each run: its result in another one is the word of that run's commit.
NOTHING_NEW = {stage.name: "done" if stage.kind is Kind.GATE else "reused" for stage in STAGES}
OWN = {"SOURCE": "s3", "BUCKET_NAME": "ours-alone"}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, aws_server: Aws) -> Iterator[Cloud]:
    """Provide a project in an account with a bucket of its owner. The first test deploys it."""
    aws_server.reset()
    s3 = aws_server.client("s3")
    s3.create_bucket(Bucket="ours-alone")
    s3.put_bucket_versioning(Bucket="ours-alone", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="ours-alone", Key="letters/a.txt", Body=b"mine")
    yield Cloud(tiny_project(tmp_path_factory.mktemp("shared") / "tiny"), aws_server, **OWN)
    assert aws_server.denials() == []
    assert aws_server.control("drift") == []


@pytest.fixture(scope="module")
def shared(account: Cloud) -> Cloud:
    return account.ready()


def test_before_the_deployment_every_command_names_the_first_step(account: Cloud) -> None:
    assert "mlops deploy-infra" in account("run", code=1)
    assert "mlops deploy-infra" in account("status", code=1)
    account("deploy-infra", "--yes")
    assert "mlops download-data" in account("run", code=1)
    assert "There is no run yet" in account("status", code=1)
    assert account.json("runs") == []


def test_a_quota_that_is_used_up_is_reported(shared: Cloud) -> None:
    shared.aws.control("sagemaker-quota", quota="ml.m5.xlarge for training job usage", limit=0)
    assert "ml.m5.xlarge for training job usage" in shared("run", code=3)
    shared.aws.control("sagemaker-quota", quota="ml.m5.xlarge for training job usage", limit=20)


def training(cloud: Cloud) -> bool:
    """Return True if a training job is in progress."""
    return bool(cloud.aws.client("sagemaker").list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"])


def test_ctrl_c_leaves_the_run_in_progress_and_names_the_command_to_return(shared: Cloud) -> None:
    """No earlier run waits: a command that only follows would not overtake it."""
    held = shared.held("train.py")
    with shared.going("run") as process:
        wait_for(lambda: training(shared))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 130
    run_id = shared.json("runs")[0]["id"]
    assert f"Run {run_id} continues on AWS" in err
    assert f"mlops status {run_id} --follow" in err
    assert "Traceback" not in err
    assert training(shared)
    with shared.going("status", run_id, "--follow") as watcher:
        held.unlink()
        out, _ = watcher.communicate(timeout=LIMIT_SECONDS)
    assert watcher.returncode == 0
    assert f"next: mlops approve {run_id}" in out


def test_a_script_that_fails_shows_its_last_lines_and_is_retried_in_the_same_run(shared: Cloud) -> None:
    trouble = shared.folder.parent / "trouble"  # not in the project: its state must stay the same
    trouble.touch()
    stop = f"if __import__('os').path.exists({str(trouble)!r}):\n    raise SystemExit('no luck today')\n"
    shared.edit("train.py", "model = Path", f"{stop}model = Path")
    _, err = shared.both("run", code=3)
    assert "no luck today" in err
    assert "train.py failed: AlgorithmError" in err
    assert "hint: Fix it, then continue: mlops run" in err
    assert "Traceback" not in err
    failed = shared.json("status")["run"]
    assert statuses(failed)["train"] == "failed"
    assert "no luck today" in shared("logs", "--stage", "train")
    trouble.unlink()
    run = shared.json("run")
    assert (run["id"], run["status"]) == (failed["id"], "waiting")


def test_a_run_that_is_ended_takes_its_job_with_it(shared: Cloud) -> None:
    held = shared.held("train.py")
    shared("run", "--detach")
    wait_for(lambda: training(shared))
    stopped = shared.json("stop")
    assert (stopped["status"], statuses(stopped)["train"]) == ("interrupted", "interrupted")
    listed = shared.aws.client("sagemaker").list_training_jobs(SortBy="CreationTime", SortOrder="Descending")
    assert listed["TrainingJobSummaries"][0]["TrainingJobStatus"] in ("Stopping", "Stopped")
    assert "nothing of it is running" in shared("stop")
    held.unlink()
    run = shared.json("run")
    assert (run["status"], run["id"] != stopped["id"], statuses(run)["preprocess"]) == ("waiting", True, "reused")


def test_a_killed_command_is_repeated_and_goes_along_with_its_run(shared: Cloud) -> None:
    before = [run["id"] for run in shared.json("runs")]
    held = shared.held("train.py")
    with shared.going("run") as process:
        wait_for(lambda: training(shared))
        process.kill()
        process.communicate()
    held.unlink()
    run = shared.json("run")
    assert run["status"] == "waiting"
    assert [run["id"] for run in shared.json("runs")] == [run["id"], *before]


def test_a_newer_run_overtakes_one_that_waits_for_a_decision(shared: Cloud) -> None:
    old = shared.json("run", "--set", "epochs=2")
    new = shared.json("run", "--set", "epochs=3")
    assert (new["status"], new["id"] != old["id"]) == ("waiting", True)
    assert shared.json("status", old["id"])["run"]["status"] == "superseded"
    assert f"mlops status {new['id']}" in shared("approve", "--run-id", old["id"], "--yes", code=1)


def test_a_failed_first_deployment_continues_after_the_fix_and_shows_the_last_cause(shared: Cloud) -> None:
    """After a failed creation CloudFormation can only delete a stack: it refuses an update at once."""
    quota = "ml.m5.large for endpoint usage"
    run = shared.json("run", "--set", "epochs=3")
    shared.aws.control("sagemaker-quota", quota=quota, limit=0)
    assert quota in shared.both("approve", "--run-id", run["id"], "--yes", code=3)[1]
    shared.aws.control("sagemaker-quota", quota=quota, limit=20)
    shared.aws.control("sagemaker-fail-next", reason="The image is damaged.")
    assert "The image is damaged." in shared.both("run", "--set", "epochs=3", code=3)[1]
    done = shared.json("run", "--set", "epochs=3")
    assert (done["status"], done["id"]) == ("done", run["id"])


def test_a_decision_in_the_aws_console_counts(shared: Cloud) -> None:
    assert "continues in the background" in shared("run", "--set", "epochs=4", "--detach")
    run_id = shared.json("status", "--follow")["run"]["id"]
    shared.decide_in_the_console("Approved", "seen in the console")
    done = shared.json("status", run_id, "--follow")
    assert (done["run"]["status"], done["run"]["decision"]["comment"]) == ("done", "seen in the console")
    assert done["endpoint"]["is_what_was_approved"] is True
    assert packages(shared)[run_id] == "Approved"


def test_an_approval_holds_for_the_same_model_in_later_runs(shared: Cloud) -> None:
    first = shared.live("--set", "epochs=4")
    (shared.folder / "README.md").write_text("nothing that a stage is made from")
    run = shared.json("run", "--set", "epochs=4")
    assert (run["status"], statuses(run)) == ("done", NOTHING_NEW)
    assert run["id"] != first["id"]
    assert run["decision"]["forwarded_from"] == first["id"]
    forced = shared.json("run", "--set", "epochs=4", "--from", "train")
    assert statuses(forced) == {
        **dict.fromkeys([stage.name for stage in STAGES], "pending"),
        "preprocess": "reused",
        "pre-training-tests": "reused",
        "train": "done",
        "approval": "waiting",
    }


def test_following_a_run_makes_no_decision(shared: Cloud) -> None:
    """It does not even pass on a decision about the same model; only the run's own command does."""
    shared.live("--set", "epochs=4")
    (shared.folder / "README.md").write_text("nothing either that a stage is made from")
    shared("run", "--set", "epochs=4", "--detach")
    deciding = {"Effect": "Deny", "Action": "codepipeline:PutApprovalResult", "Resource": "*"}
    keys = user(shared.aws, "watcher", {"Action": "*", "Resource": "*"}, deciding)
    watcher = Cloud(shared.folder, shared.aws, **OWN, **{name.upper(): value for name, value in keys.items()})
    seen = watcher("status", "--follow")
    run_id = shared.json("runs")[0]["id"]
    assert "decided already, approved by root" in " ".join(seen.split())
    assert f"next: mlops approve {run_id}" in seen
    (gate,) = (stage for stage in shared.json("status")["run"]["stages"] if stage["name"] == "approval")
    assert gate["reason"].startswith("decided already")
    done = shared.json("run", "--set", "epochs=4")
    assert (done["id"], done["status"], statuses(done)) == (run_id, "done", NOTHING_NEW)


def test_an_alarm_rolls_the_endpoint_back_and_is_reported(shared: Cloud) -> None:
    first = shared.live("--set", "epochs=4")
    live = shared.json("status")["endpoint"]["live_digest"]
    shared.aws.control("sagemaker-fire", endpoint="tiny-dev")
    second = shared.json("run", "--set", "epochs=5")
    _, err = shared.both("approve", "--run-id", second["id"], "--yes", code=3)
    assert "The endpoint could not be deployed" in err
    assert "alarm" in err.lower()
    status = shared.json("status")
    assert statuses(status["run"])["deploy"] == "failed"
    assert (status["endpoint"]["state"], status["endpoint"]["live_digest"]) == ("in-service", live)
    assert first["id"] != second["id"]


KEYS = ("wxy-4711", "quiet=otter/7")


def test_scripts_and_gates_get_the_secrets_that_the_use_case_names(shared: Cloud) -> None:
    secret = shared.aws.client("secretsmanager").create_secret(Name="shop/login", SecretString=KEYS[1])["ARN"]
    names = f'[secrets]\nnames = ["FEED", "LOGIN"]\naws = {{ LOGIN = "{secret}" }}\n\n[metrics]\n'
    shared.edit("usecase.toml", "[metrics]\n", names)
    for script in ("preprocess.py", "train.py", "tests/test_pretraining.py"):
        path = shared.folder / "training" / script
        path.write_text(f"import os\nprint(os.environ['FEED'], os.environ['LOGIN'])\n{path.read_text()}")
    parameter = "/mlops/tiny-dev/FEED"
    checks = " ".join(shared("doctor", code=1).split())
    assert f"The secret FEED of usecase.toml is not in Parameter Store, {parameter}." in checks
    assert "the pipeline was deployed without the permission to read it" in checks
    shared("deploy-infra", "--yes")
    before = shared.json("runs")
    _, err = shared.both("run", code=2)
    assert shared.json("runs") == before
    assert f"The secret FEED of usecase.toml is not in Parameter Store, {parameter}." in err
    assert f"aws ssm put-parameter --type SecureString --name {parameter} --value ..." in err

    shared.aws.client("ssm").put_parameter(Name=parameter, Value=KEYS[0], Type="SecureString")
    run = shared.json("run")
    assert run["status"] == "waiting"
    assert {stage: shared("logs", run["id"], "--stage", stage).count("… …") for stage in ("preprocess", "train")} == {
        "preprocess": 1,
        "train": 1,
    }
    assert kept_texts(shared) == {key: [] for key in KEYS}


def kept_texts(cloud: Cloud) -> dict[str, list[str]]:
    """Return the places on AWS that have one of the values: definitions of jobs, logs, objects in the bucket."""
    sagemaker, logs, s3 = (cloud.aws.client(name) for name in ("sagemaker", "logs", "s3"))
    trainings = sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]
    jobs = [sagemaker.describe_training_job(TrainingJobName=job["TrainingJobName"]) for job in trainings]
    processings = sagemaker.list_processing_jobs(MaxResults=100)["ProcessingJobSummaries"]
    jobs += [sagemaker.describe_processing_job(ProcessingJobName=job["ProcessingJobName"]) for job in processings]
    texts = {f"job {number}": repr(job).encode() for number, job in enumerate(jobs)}
    for group in logs.describe_log_groups()["logGroups"]:
        name = group["logGroupName"]
        for stream in logs.describe_log_streams(logGroupName=name)["logStreams"]:
            events = logs.get_log_events(logGroupName=name, logStreamName=stream["logStreamName"])["events"]
            texts[f"log {name} {stream['logStreamName']}"] = repr([event["message"] for event in events]).encode()
    for item in s3.list_objects_v2(Bucket="ours-alone")["Contents"]:
        texts[item["Key"]] = s3.get_object(Bucket="ours-alone", Key=item["Key"])["Body"].read()
    assert any(name.startswith("log /aws/sagemaker/TrainingJobs") for name in texts)
    return {key: [name for name, text in texts.items() if key.encode() in text] for key in KEYS}


def test_an_existing_bucket_survives(shared: Cloud) -> None:
    assert "verified: no resources created by mlops remain" in shared("cleanup", "--yes")
    remaining = everything(shared.aws)
    assert remaining.pop("buckets") == ["ours-alone"]
    assert {kind: names for kind, names in remaining.items() if names} == {}
    versions = shared.aws.client("s3").list_object_versions(Bucket="ours-alone")
    assert [version["Key"] for version in versions["Versions"]] == ["letters/a.txt"]
