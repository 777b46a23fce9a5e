"""Commands that are killed right after a call has reached the simulated AWS: the same command continues."""

from __future__ import annotations

import pytest

from tests.component.aws.infra.test_deploy import kill_after
from tests.conftest import LIMIT_SECONDS, wait_for
from tests.harness.cloud import Cloud, shared
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["shared"]


def test_a_run_that_is_killed_as_it_starts_is_one_run(shared: Cloud) -> None:
    kill_after(shared, "StartPipelineExecution", 1, "run")
    assert shared.json("run")["status"] == "waiting"
    assert len(shared.json("runs")) == 1


@pytest.mark.parametrize(("call", "epochs"), [("UpdateModelPackage", 2), ("PutApprovalResult", 3)])
def test_a_killed_decision_is_completed_by_the_same_command(shared: Cloud, call: str, epochs: int) -> None:
    run_id = shared.json("run", "--set", f"epochs={epochs}")["id"]
    kill_after(shared, call, 1, "approve", "--run-id", run_id, "--comment", "good")
    if call == "UpdateModelPackage":
        assert shared.json("approve", "--run-id", run_id, "--comment", "good", "--yes")["status"] == "done"
    else:
        assert "was approved already by" in shared("approve", "--run-id", run_id, "--yes")
        assert shared.json("status", run_id, "--follow")["run"]["status"] == "done"
    endpoint = shared.json("test-endpoint")["endpoint"]
    stages = {stage["name"]: stage["output"] for stage in shared.json("status", run_id)["run"]["stages"]}
    assert (endpoint["is_what_was_approved"], endpoint["live_digest"]) == (True, stages["train"])


def test_no_approval_is_requested_for_an_output_that_another_run_has_changed(shared: Cloud) -> None:
    """A step or job of another run could change it, because they have the same role."""
    held, s3 = shared.held("train.py"), shared.aws.client("s3")
    with shared.going("run", "--set", "epochs=7") as process:
        sagemaker = shared.aws.client("sagemaker")
        wait_for(lambda: sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"])
        bucket = next(bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "mlops" in bucket["Name"])
        listed = s3.list_objects_v2(Bucket=bucket, Prefix="tiny-dev/artifacts/preprocess/")["Contents"]
        for entry in listed:
            s3.put_object(Bucket=bucket, Key=entry["Key"], Body=b"id,text,long\n1,changed,1\n")
        held.unlink()
        _, error = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 3
    assert "The list of the files that the job" in " ".join(error.split())
    assert "Train again: mlops run --force" in error
    assert statuses(shared.json("status")["run"])["preprocess"] == "failed"
