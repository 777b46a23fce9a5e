"""Processing jobs: any command line, with folders that are downloaded from S3 and uploaded to S3."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import eventually, grant, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.job_account import BUCKET, ENOUGH, WRITE, Jobs, tarball

GROUP = "/aws/sagemaker/ProcessingJobs"
INPUT, CODE, OUTPUT = (f"/opt/ml/processing/{name}" for name in ("input", "code", "output"))
COUNT = """
import argparse
from pathlib import Path
parser = argparse.ArgumentParser()
parser.add_argument("--input-dir", type=Path)
parser.add_argument("--output-dir", type=Path)
arguments = parser.parse_args()
rows = sum(len(path.read_text().splitlines()) for path in arguments.input_dir.rglob("*.csv"))
(arguments.output_dir / "train").mkdir()
(arguments.output_dir / "train" / "count.txt").write_text(str(rows))
print("counted", rows)
"""


@pytest.fixture
def jobs(aws: Aws) -> Jobs:
    return Jobs(aws)


def test_a_script_reads_from_s3_and_writes_to_s3(aws: Aws, jobs: Jobs) -> None:
    jobs.put("data/a.csv", "1\n2\n")
    jobs.put("data/sub/b.csv", "3\n")
    code = jobs.put("code/count.py", COUNT)
    command = ("python3", f"{CODE}/count.py", "--input-dir", INPUT, "--output-dir", OUTPUT)
    channels = {"inputs": {INPUT: f"s3://{BUCKET}/data/", CODE: code}, "outputs": {OUTPUT: f"s3://{BUCKET}/out/p1"}}
    job = jobs.process("p1", *command, **channels)
    assert job["ProcessingJobStatus"] == "Completed", job
    assert jobs.get("out/p1/train/count.txt") == b"3"
    assert jobs.log(GROUP, "p1") == {"algo-1": ["counted 3"]}
    assert job["ProcessingEndTime"] >= job["ProcessingStartTime"] >= job["CreationTime"]
    assert "FailureReason" not in job
    assert aws.denials() == []
    assert aws.unused_permissions() == []


def test_a_shell_line_and_its_paths_and_variables_are_mapped(jobs: Jobs) -> None:
    code = jobs.put("code/sourcedir.tar.gz", tarball({"count.py": COUNT}))
    jobs.put("data/a.csv", "1\n")
    line = f"cd {CODE} && tar -xzf sourcedir.tar.gz && python3 count.py --input-dir {INPUT} --output-dir $WHERE"
    request = jobs.processing(
        "p2",
        inputs={INPUT: f"s3://{BUCKET}/data", CODE: code},
        outputs={OUTPUT: f"s3://{BUCKET}/out/p2"},
        Environment={"WHERE": OUTPUT},
    )
    request["AppSpecification"] |= {"ContainerEntrypoint": ["/bin/bash", "-c"], "ContainerArguments": [line]}
    jobs.sagemaker.create_processing_job(**request)
    assert jobs.processed("p2")["ProcessingJobStatus"] == "Completed", jobs.log(GROUP, "p2")
    assert jobs.get("out/p2/train/count.txt") == b"1"


def test_a_failing_command_fails_the_job_and_nothing_is_uploaded(jobs: Jobs) -> None:
    line = f"echo half > {OUTPUT}/half.txt; echo 'no column text' > /opt/ml/output/message; echo broken >&2; exit 4"
    job = jobs.process("p3", "bash", "-c", line, outputs={OUTPUT: f"s3://{BUCKET}/out/p3"})
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert job["ExitMessage"] == "no column text\n"
    assert jobs.log(GROUP, "p3")["algo-1"] == ["broken"]
    assert jobs.keys("out/") == []


def test_a_program_that_is_not_there_fails_the_job(jobs: Jobs) -> None:
    assert jobs.process("p4", "no-such-program")["ProcessingJobStatus"] == "Failed"
    assert "no-such-program" in jobs.log(GROUP, "p4")["algo-1"][0]


def test_several_instances_get_their_shares(jobs: Jobs) -> None:
    for number in range(3):
        jobs.put(f"data/{number}.csv", str(number))
    line = f"cp -r {INPUT}/. {OUTPUT}/"
    request = jobs.processing(
        "p5",
        *("bash", "-c", line),
        instances=2,
        inputs={INPUT: f"s3://{BUCKET}/data/"},
        outputs={OUTPUT: f"s3://{BUCKET}/out/p5"},
    )
    request["ProcessingInputs"][0]["S3Input"]["S3DataDistributionType"] = "ShardedByS3Key"
    jobs.sagemaker.create_processing_job(**request)
    assert jobs.processed("p5")["ProcessingJobStatus"] == "Completed"
    assert jobs.keys("out/p5/") == ["0.csv", "1.csv", "2.csv"]
    assert set(jobs.log(GROUP, "p5")) == {"algo-1", "algo-2"}


def test_a_stopped_job_and_one_over_its_time_are_stopped(jobs: Jobs) -> None:
    jobs.sagemaker.create_processing_job(**jobs.processing("p6", "bash", "-c", "echo on; sleep 60"))
    eventually(lambda: jobs.log(GROUP, "p6").get("algo-1") == ["on"])
    jobs.sagemaker.stop_processing_job(ProcessingJobName="p6")
    assert jobs.processed("p6")["ProcessingJobStatus"] == "Stopped"
    with pytest.raises(ClientError, match="rejected because the processing job is in status Stopped"):
        jobs.sagemaker.stop_processing_job(ProcessingJobName="p6")
    job = jobs.process("p7", "sleep", "60", StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert job["ProcessingJobStatus"] == "Stopped"


def test_a_role_without_a_permission_fails_the_job(aws: Aws, jobs: Jobs) -> None:
    grant(aws, "job", *(statement for statement in ENOUGH if statement is not WRITE))
    job = jobs.process("p8", "bash", "-c", f"echo x > {OUTPUT}/x", outputs={OUTPUT: f"s3://{BUCKET}/out/p8"})
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed")
    assert {"role": "job", "action": "s3:PutObject"}.items() <= aws.denials()[0].items()


def test_a_request_that_aws_refuses_is_refused(aws: Aws, jobs: Jobs) -> None:
    with pytest.raises(ClientError, match="LocalPath must begin with /opt/ml/processing/"):
        jobs.sagemaker.create_processing_job(**jobs.processing("x", "true", outputs={"/tmp/x": f"s3://{BUCKET}/out"}))
    with pytest.raises(ClientError, match="No S3 objects found"):
        jobs.sagemaker.create_processing_job(**jobs.processing("x", "true", inputs={INPUT: f"s3://{BUCKET}/none"}))
    aws.control("sagemaker-quota", quota="ml.m5.large for processing job usage", limit=0)
    with pytest.raises(ClientError, match="ResourceLimitExceeded"):
        jobs.sagemaker.create_processing_job(**jobs.processing("x", "true"))
    with pytest.raises(ClientError, match="Could not find requested job with name: x"):
        jobs.sagemaker.describe_processing_job(ProcessingJobName="x")
    create = {"Action": "sagemaker:CreateProcessingJob", "Resource": "*"}
    with pytest.raises(ClientError, match="iam:PassRole"):
        aws.client("sagemaker", **user(aws, "poor", create)).create_processing_job(**jobs.processing("x", "true"))


def test_names_are_unique_and_finished_jobs_can_be_deleted(jobs: Jobs) -> None:
    jobs.process("same", "true")
    with pytest.raises(ClientError, match="ResourceInUse"):
        jobs.process("same", "true")
    (row,) = jobs.sagemaker.list_processing_jobs(StatusEquals="Completed")["ProcessingJobSummaries"]
    assert row["ProcessingJobName"] == "same"
    jobs.sagemaker.delete_processing_job(ProcessingJobName="same")
    assert jobs.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
