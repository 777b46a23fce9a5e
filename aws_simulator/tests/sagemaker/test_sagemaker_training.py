"""Training jobs: real scripts with the script-mode contract, the role's permissions and SageMaker's messages."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, grant, role, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.job_account import (
    BUCKET,
    ENOUGH,
    LIST,
    LOGS,
    PULL,
    READ,
    TOKEN,
    WRITE,
    Jobs,
    channel_of,
    untarred,
)

GROUP = "/aws/sagemaker/TrainingJobs"
SCRIPT = """
import json, os, sys
from pathlib import Path
model, output = Path(os.environ["SM_MODEL_DIR"]), Path(os.environ["SM_OUTPUT_DATA_DIR"])
(model / "1").mkdir()
(model / "1" / "saved_model.pb").write_text("weights")
seen = {"argv": sys.argv[1:], "environment": dict(os.environ), "cwd": os.getcwd()}
(output / "seen.json").write_text(json.dumps(seen))
print("trained on", (Path(os.environ["SM_CHANNEL_TRAIN"]) / "rows.csv").read_text())
"""
HOLD = """
import os, signal, sys, time
from pathlib import Path
Path(os.environ["SM_MODEL_DIR"], "half.txt").write_text("half a model")
def stop(number, frame):
    print("stopped by", number, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
print("holding", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def jobs(aws: Aws) -> Jobs:
    return Jobs(aws)


def test_a_script_gets_its_channels_hyperparameters_and_folders_and_its_outputs_end_in_s3(aws: Aws, jobs: Jobs) -> None:
    hyperparameters = {"epochs": "3", "flag": "true", "rate": "0.1", "name": "plain", "quoted": '"text"'}
    channels = {"train": f"s3://{BUCKET}/data/train/"}
    job = jobs.train("first", SCRIPT, hyperparameters=hyperparameters, channels=channels)
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Completed", "Completed")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/first/output/model.tar.gz"
    assert untarred(jobs.get("out/first/output/model.tar.gz")) == {"1/saved_model.pb": b"weights"}
    seen = json.loads(untarred(jobs.get("out/first/output/output.tar.gz"))["seen.json"])
    assert seen["argv"] == [
        *("--epochs", "3", "--flag", "True", "--name", "plain"),
        *("--quoted", "text", "--rate", "0.1"),
    ]
    environment = seen["environment"]
    decoded = {"epochs": 3, "flag": True, "rate": 0.1, "name": "plain", "quoted": "text"}
    assert json.loads(environment["SM_HPS"]) == decoded
    assert environment["SM_CURRENT_HOST"] == "algo-1"
    assert environment["SM_MODULE_NAME"] == "train"
    assert environment["TRAINING_JOB_NAME"] == "first"
    assert seen["cwd"].endswith("/opt/ml/code")
    assert environment["SM_MODEL_DIR"].endswith("/opt/ml/model")
    assert "PYTHONPATH" not in environment
    assert jobs.log(GROUP, "first")["algo-1"][-1] == "trained on rows of train"
    states = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert states == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(before["EndTime"] >= before["StartTime"] for before in job["SecondaryStatusTransitions"])
    assert job["TrainingTimeInSeconds"] == job["BillableTimeInSeconds"]
    assert aws.denials() == []
    assert aws.unused_permissions() == []


def test_an_exception_is_the_failure_reason_and_the_log_has_it_all(jobs: Jobs) -> None:
    job = jobs.train(
        "failing", "print('before')\nraise ValueError('there are no rows')", hyperparameters={"epochs": "1"}
    )
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Failed"
    assert job["FailureReason"] == (
        "AlgorithmError: ExecuteUserScriptError:\nExitCode 1\n"
        "ErrorMessage \"raise ValueError('there are no rows')\n ValueError: there are no rows\"\n"
        'Command "python3 train.py --epochs 1", exit code: 1'
    )
    lines = jobs.log(GROUP, "failing")["algo-1"]
    assert "before" in lines
    assert any(line.startswith("Traceback") for line in lines)


def test_a_failure_file_is_the_failure_reason(jobs: Jobs) -> None:
    script = """
import os, sys
open(os.path.join(os.environ["SM_OUTPUT_DIR"], "failure"), "w").write("the labels are all alike" + "." * 2000)
sys.exit(3)
"""
    reason = jobs.train("explained", script)["FailureReason"]
    assert reason.startswith("AlgorithmError: the labels are all alike")
    assert len(reason) == 1024


def test_requirements_must_be_there_already(jobs: Jobs) -> None:
    fine = {"requirements.txt": "numpy>=1  # installed\nno-such-package; python_version < '3'\n"}
    assert jobs.train("fine", "print('went on')", files=fine)["TrainingJobStatus"] == "Completed"
    job = jobs.train("missing", "print('went on')", files={"requirements.txt": "no-such-package==1"})
    assert "InstallRequirementsError" in job["FailureReason"]
    assert "No matching distribution found for no-such-package==1" in job["FailureReason"]
    assert "went on" not in jobs.log(GROUP, "missing")["algo-1"]


def test_a_stopped_job_gets_a_term_signal_and_its_model_so_far_is_kept(jobs: Jobs) -> None:
    jobs.sagemaker.create_training_job(**jobs.training("long", HOLD))
    jobs.trained("long", "Training")
    eventually(lambda: "holding" in jobs.log(GROUP, "long").get("algo-1", []))
    jobs.sagemaker.stop_training_job(TrainingJobName="long")
    job = jobs.trained("long")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert "stopped by 15" in jobs.log(GROUP, "long")["algo-1"]
    assert untarred(jobs.get("out/long/output/model.tar.gz")) == {"half.txt": b"half a model"}
    with pytest.raises(ClientError, match="rejected because the training job is in status Stopped"):
        jobs.sagemaker.stop_training_job(TrainingJobName="long")


def test_a_job_that_will_not_stop_is_killed_after_the_grace_period(aws: Aws, jobs: Jobs) -> None:
    aws.control("sagemaker-pace", grace=0.1)
    jobs.sagemaker.create_training_job(**jobs.training("deaf", HOLD.replace("sys.exit(0)", "pass")))
    eventually(
        lambda: "holding" in jobs.log(GROUP, "deaf").get("algo-1", []) if jobs.trained("deaf", "Training") else 0
    )
    jobs.sagemaker.stop_training_job(TrainingJobName="deaf")
    assert jobs.trained("deaf")["TrainingJobStatus"] == "Stopped"


def test_a_job_over_its_time_limit_is_stopped(jobs: Jobs) -> None:
    job = jobs.train("slow", HOLD, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert untarred(jobs.get("out/slow/output/model.tar.gz")) == {"half.txt": b"half a model"}


WITH_CHECKPOINTS = """
import os, time
from pathlib import Path
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--checkpoints", type=Path)
note = parser.parse_args().checkpoints / "sub" / "epoch.txt"
done = int(note.read_text()) if note.exists() else 0
print("beginning at", done, flush=True)
if done:
    Path(os.environ["SM_MODEL_DIR"], "epoch.txt").write_text(str(done))
else:
    note.parent.mkdir()
    note.write_text("7")
    time.sleep(60)
"""


def test_an_interrupted_spot_job_goes_on_from_its_checkpoints(aws: Aws, jobs: Jobs) -> None:
    spot = {
        "EnableManagedSpotTraining": True,
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/out/checkpoints/spot"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600, "MaxWaitTimeInSeconds": 1200},
        "hyperparameters": {"checkpoints": "/opt/ml/checkpoints"},
    }
    jobs.sagemaker.create_training_job(**jobs.training("spot", WITH_CHECKPOINTS, **spot))
    eventually(lambda: jobs.keys("out/checkpoints/spot/") == ["sub/epoch.txt"])
    aws.control("sagemaker-interrupt", job="spot")
    job = jobs.trained("spot")
    assert job["TrainingJobStatus"] == "Completed", job
    assert untarred(jobs.get("out/spot/output/model.tar.gz")) == {"epoch.txt": b"7"}
    states = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    assert states == [
        *("Starting", "Downloading", "Training", "Interrupted"),
        *("Starting", "Downloading", "Training", "Uploading", "Completed"),
    ]
    assert job["BillableTimeInSeconds"] <= job["TrainingTimeInSeconds"]


@pytest.mark.parametrize("retries", [1, 0])
def test_a_job_that_loses_its_instances_is_retried_as_often_as_it_says(aws: Aws, jobs: Jobs, retries: int) -> None:
    request = {
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/out/checkpoints/lost"},
        "hyperparameters": {"checkpoints": "/opt/ml/checkpoints"},
        **({"RetryStrategy": {"MaximumRetryAttempts": retries}} if retries else {}),
    }
    jobs.sagemaker.create_training_job(**jobs.training("lost", WITH_CHECKPOINTS, **request))
    eventually(lambda: jobs.keys("out/checkpoints/lost/") == ["sub/epoch.txt"])
    aws.control("sagemaker-interrupt", job="lost")
    job = jobs.trained("lost")
    states = [transition["Status"] for transition in job["SecondaryStatusTransitions"]]
    again = ["Starting", "Downloading", "Training", "Uploading", "Completed"] if retries else ["Failed"]
    assert states == ["Starting", "Downloading", "Training", *again], job
    assert job.get("FailureReason", "").startswith("" if retries else "InternalServerError")
    if retries:
        assert untarred(jobs.get("out/lost/output/model.tar.gz")) == {"epoch.txt": b"7"}


def test_a_spot_job_needs_a_time_to_wait(jobs: Jobs) -> None:
    request = jobs.training("impatient", "pass", EnableManagedSpotTraining=True)
    with pytest.raises(ClientError, match="Invalid MaxWaitTimeInSeconds"):
        jobs.sagemaker.create_training_job(**request)


def test_several_instances_know_each_other_and_share_the_data(jobs: Jobs) -> None:
    script = """
import json, os
from pathlib import Path
host = os.environ["SM_CURRENT_HOST"]
names = sorted(path.name for path in Path(os.environ["SM_CHANNEL_SHARDS"]).iterdir())
hosts = json.loads(os.environ["SM_HOSTS"])
Path(os.environ["SM_OUTPUT_DATA_DIR"], f"{hosts.index(host)} of {len(hosts)}").write_text(" ".join(names))
"""
    for number in range(4):
        jobs.put(f"shards/{number}.csv", str(number))
    sharded = channel_of("shards", f"s3://{BUCKET}/shards/")
    sharded["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    job = jobs.train("pair", script, instances=2, InputDataConfig=[sharded])
    assert job["TrainingJobStatus"] == "Completed"
    shares = untarred(jobs.get("out/pair/output/output.tar.gz"))
    assert shares == {"0 of 2": b"0.csv 2.csv", "1 of 2": b"1.csv 3.csv"}
    assert set(jobs.log(GROUP, "pair")) == {"algo-1", "algo-2"}


def test_one_failing_instance_fails_the_job(jobs: Jobs) -> None:
    script = (
        "import json, os, time\nhosts = json.loads(os.environ['SM_HOSTS'])\n"
        "if os.environ['SM_CURRENT_HOST'] == hosts[1]: raise OSError('disk')\ntime.sleep(60)"
    )
    assert "OSError: disk" in jobs.train("unlucky", script, instances=2)["FailureReason"]


@pytest.mark.parametrize(
    ("lacking", "reason"),
    [
        (READ, "AlgorithmError: Framework Error"),
        (WRITE, "ClientError: Artifact upload failed"),
        (PULL, "ClientError: Cannot pull algorithm container"),
        (TOKEN, "ecr:GetAuthorizationToken"),
    ],
)
def test_a_role_that_lacks_a_permission_fails_the_job(aws: Aws, jobs: Jobs, lacking: dict, reason: str) -> None:
    grant(aws, "job", *(statement for statement in ENOUGH if statement is not lacking))
    script = "import os\nopen(os.environ['SM_MODEL_DIR'] + '/m', 'w').write('m')"
    assert reason in jobs.train("poor", script)["FailureReason"]
    assert aws.denials()


def test_input_that_the_role_cannot_see_is_refused_at_once(aws: Aws, jobs: Jobs) -> None:
    request = jobs.training("blind", "pass", InputDataConfig=[channel_of("train", f"s3://{BUCKET}/nothing/")])
    with pytest.raises(ClientError, match=r"No S3 objects found under S3 URL .*nothing/.*No objects found"):
        jobs.sagemaker.create_training_job(**request)
    grant(aws, "job", *(statement for statement in ENOUGH if statement is not LIST))
    with pytest.raises(
        ClientError, match=r"No S3 objects found under S3 URL .*s3:ListBucket.*Access Denied|not authorized"
    ):
        jobs.sagemaker.create_training_job(**request)


def test_a_job_without_permission_to_log_runs_without_a_log(aws: Aws, jobs: Jobs) -> None:
    grant(aws, "job", *(statement for statement in ENOUGH if statement is not LOGS))
    assert jobs.train("mute", "print('x')")["TrainingJobStatus"] == "Completed"
    assert aws.client("logs").describe_log_groups()["logGroups"] == []


def test_the_caller_must_be_allowed_to_create_tag_and_pass_the_role(aws: Aws, jobs: Jobs) -> None:
    arn = "arn:aws:sagemaker:us-east-1:123456789012:training-job/ours-*"
    create = {"Action": "sagemaker:CreateTrainingJob", "Resource": arn}
    passing = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    may_pass = {"Action": "iam:PassRole", "Resource": jobs.role, "Condition": passing}
    tagging = {"Action": "sagemaker:AddTags", "Resource": arn}
    tags = [{"Key": "mlops:project", "Value": "x"}]

    def attempt(name: str, *statements: dict, **more: object) -> None:
        person = aws.client("sagemaker", **user(aws, f"u{len(statements)}{name}{len(more)}", *statements))
        person.create_training_job(**jobs.training(name, "pass", **more))

    with pytest.raises(ClientError, match=r"sagemaker:CreateTrainingJob on resource: .*/theirs"):
        attempt("theirs", create, may_pass)
    with pytest.raises(ClientError, match=r"iam:PassRole on resource: .*role/job"):
        attempt("ours-1", create)
    with pytest.raises(ClientError, match="sagemaker:AddTags"):
        attempt("ours-2", create, may_pass, Tags=tags)
    attempt("ours-3", create, may_pass, tagging, Tags=tags)
    job_tags = jobs.sagemaker.list_tags(ResourceArn=arn.replace("*", "3"))["Tags"]
    assert job_tags == tags
    jobs.trained("ours-3")


def test_a_role_that_does_not_trust_sagemaker_is_refused(aws: Aws, jobs: Jobs) -> None:
    neighbour = role(aws, "other", "lambda.amazonaws.com")
    with pytest.raises(ClientError, match=r"Could not assume role .*role/other"):
        jobs.sagemaker.create_training_job(**jobs.training("x", "pass", RoleArn=neighbour))


def test_instance_types_are_the_models_and_quotas_are_the_accounts(aws: Aws, jobs: Jobs) -> None:
    request = jobs.training("big", "pass")
    request["ResourceConfig"]["InstanceType"] = "ml.huge.99xlarge"
    with pytest.raises(ClientError, match=r"ml.huge.99xlarge.*enum value set"):
        jobs.sagemaker.create_training_job(**request)
    aws.control("sagemaker-quota", quota="ml.m5.xlarge for training job usage", limit=0)
    with pytest.raises(
        ClientError, match=r"ResourceLimitExceeded.*'ml.m5.xlarge for training job usage' is 0 Instances"
    ):
        jobs.sagemaker.create_training_job(**jobs.training("big", "pass"))


def test_names_are_unique_lists_have_pages_and_finished_jobs_can_be_deleted(jobs: Jobs) -> None:
    for number in range(12):
        jobs.sagemaker.create_training_job(**jobs.training(f"n{number}", "pass"))
    with pytest.raises(ClientError, match=r"ResourceInUse.*already exists"):
        jobs.sagemaker.create_training_job(**jobs.training("n1", "pass"))
    for number in range(12):
        assert jobs.trained(f"n{number}")["TrainingJobStatus"] == "Completed"
    page = jobs.sagemaker.list_training_jobs(SortBy="CreationTime", SortOrder="Ascending")
    assert [row["TrainingJobName"] for row in page["TrainingJobSummaries"]] == [f"n{number}" for number in range(10)]
    training_jobs = jobs.sagemaker.list_training_jobs(SortOrder="Ascending", NextToken=page["NextToken"])
    assert len(training_jobs["TrainingJobSummaries"]) == 2
    assert "NextToken" not in training_jobs
    assert len(jobs.sagemaker.list_training_jobs(NameContains="N1")["TrainingJobSummaries"]) == 3
    jobs.sagemaker.delete_training_job(TrainingJobName="n1")
    with pytest.raises(ClientError, match=r"ValidationException.*Requested resource not found"):
        jobs.sagemaker.describe_training_job(TrainingJobName="n1")


def test_a_test_can_choose_the_next_failure_and_slow_states_down(aws: Aws, jobs: Jobs) -> None:
    aws.control("sagemaker-fail-next", reason="CapacityError: Unable to provision requested ML compute capacity")
    assert jobs.train("unserved", "pass")["FailureReason"].startswith("CapacityError")
    aws.control("sagemaker-fail-next", reason="InternalServerError: We encountered an internal error.")
    retried = jobs.train("retried", "pass", RetryStrategy={"MaximumRetryAttempts": 1})
    assert (retried["TrainingJobStatus"], retried["RetryStrategy"]) == ("Completed", {"MaximumRetryAttempts": 1})
    aws.control("sagemaker-pace", seconds=0.3)
    jobs.sagemaker.create_training_job(**jobs.training("leisurely", "pass"))
    assert jobs.sagemaker.describe_training_job(TrainingJobName="leisurely")["SecondaryStatus"] == "Starting"
    jobs.trained("leisurely", "Downloading")
    assert jobs.trained("leisurely")["TrainingJobStatus"] == "Completed"
