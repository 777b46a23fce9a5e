"""A hostile commit on the simulated AWS: each stage and each job tries all ways to change the live model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from tests.conftest import LIMIT_SECONDS, wait_for
from tests.harness.cloud import PIPELINE, Cloud, project
from tests.harness.lifecycle import statuses

pytestmark = pytest.mark.slow
__all__ = ["project"]

# What runs in a step as StageRole, and in a job as JobRole. Each try is noted by what AWS has answered.
ATTACK = """
import json, sys
import boto3
from botocore.exceptions import ClientError

FACTS = json.loads({facts!r})


def main(at):
    tried = {{}}

    def attempt(label, client, operation, **arguments):
        try:
            getattr(boto3.client(client), operation)(**arguments)
            tried[label] = "done"
        except ClientError as error:
            tried[label] = error.response["Error"]["Code"]

    bucket, packages, roles = FACTS["bucket"], FACTS["packages"], FACTS["roles"]
    for key in FACTS["keys"]:
        if not key.startswith(tuple(FACTS["open"])):
            attempt("write " + key, "s3", "put_object", Bucket=bucket, Key=key, Body=b"hostile")
            attempt("delete " + key, "s3", "delete_object", Bucket=bucket, Key=key)
    for arn in packages:
        attempt("approve " + arn, "sagemaker", "update_model_package", ModelPackageArn=arn,
                ModelApprovalStatus="Approved")
    container = {{"Image": FACTS["image"], "ModelDataUrl": "s3://" + bucket + "/evil.tar.gz"}}
    attempt("register", "sagemaker", "create_model_package", ModelPackageGroupName=FACTS["endpoint"],
            ModelApprovalStatus="Approved", InferenceSpecification={{"Containers": [container],
            "SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}})
    attempt("make a model", "sagemaker", "create_model", ModelName=FACTS["endpoint"] + "-evil",
            PrimaryContainer=container, ExecutionRoleArn=roles["ModelRole"])
    for endpoint in (FACTS["endpoint"], "churn-prod"):
        attempt("change the endpoint " + endpoint, "sagemaker", "update_endpoint", EndpointName=endpoint,
                EndpointConfigName=endpoint + "-evil")
        attempt("remove the endpoint " + endpoint, "sagemaker", "delete_endpoint", EndpointName=endpoint)
        attempt("scale " + endpoint, "application-autoscaling", "register_scalable_target",
                ServiceNamespace="sagemaker", ResourceId="endpoint/" + endpoint + "/variant/AllTraffic",
                ScalableDimension="sagemaker:variant:DesiredInstanceCount", MinCapacity=9, MaxCapacity=9)
    attempt("decide", "codepipeline", "put_approval_result", pipelineName=FACTS["pipeline"], stageName="approval",
            actionName="decision", result={{"summary": "fine", "status": "Approved"}}, token=FACTS["token"])
    attempt("deploy", "cloudformation", "update_stack", StackName=FACTS["stack"], UsePreviousTemplate=True,
            RoleARN=roles["DeployRole"])
    attempt("decide as a step", "codebuild", "start_build", projectName=FACTS["pipeline"] + "-decisions",
            buildspecOverride="version: 0.2")
    for name, arn in roles.items():
        attempt("take " + name, "sts", "assume_role", RoleArn=arn, RoleSessionName="evil")
        attempt("widen " + name, "iam", "put_role_policy", RoleName=arn.rpartition("/")[2], PolicyName="evil",
                PolicyDocument="{{}}")
    # What another run has and hands on: its secret, what its jobs were told, the versions of its record.
    prefix = FACTS["prefix"]
    for name in ("", "checkpoints", "checkpoints/"):
        attempt("list " + name, "s3", "list_objects_v2", Bucket=bucket, Prefix=prefix + name)
    attempt("list what steps hand on", "s3", "list_objects_v2", Bucket=bucket, Prefix=FACTS["folder"])
    attempt("list versions", "s3", "list_object_versions", Bucket=bucket, Prefix=prefix + "runs/")
    for key in FACTS["handed on"]:
        attempt("read " + key, "s3", "get_object", Bucket=bucket, Key=key)
    for key, version in FACTS["versions"].items():
        attempt("remove a version of " + key, "s3", "delete_object", Bucket=bucket, Key=key, VersionId=version)
    attempt("keep no versions", "s3", "put_bucket_versioning", Bucket=bucket,
            VersioningConfiguration={{"Status": "Suspended"}})
    attempt("see a training", "sagemaker", "describe_training_job", TrainingJobName=FACTS["training"])
    attempt("see the actions", "codepipeline", "list_action_executions", pipelineName=FACTS["pipeline"])
    attempt("start a run", "codepipeline", "start_pipeline_execution", name=FACTS["pipeline"])
    for folder in ("runs", "artifacts"):
        key = FACTS["prefix"] + folder + "/attack/" + at + ".json"
        attempt("note", "s3", "put_object", Bucket=bucket, Key=key, Body=json.dumps(tried).encode())


def forge(run_id):
    # What the next step is told of this run: that the decision about the live model is made, for another one.
    s3, key = boto3.client("s3"), FACTS["prefix"] + "runs/" + run_id + "/run.json"
    run = json.loads(s3.get_object(Bucket=FACTS["bucket"], Key=key)["Body"].read())
    for stage in run["stages"]:
        if stage["name"] in ("approval", "deploy"):
            stage.update(status="done", output=FACTS["live"], run_id=FACTS["approved"], key=FACTS["key"],
                         detail={{"package": FACTS["packages"][0]}})
    s3.put_object(Bucket=FACTS["bucket"], Key=key, Body=json.dumps(run).encode())


if __name__ == "__main__":
    main(sys.argv[1])
    if sys.argv[1] == "train":
        forge(sys.argv[2])
"""
REFUSED = {"AccessDenied", "AccessDeniedException"}
STEPS = ("preprocess", "pre-training-tests", "train", "post-training-tests")


def facts(aws: Aws, cloud: Cloud, approved: dict[str, Any]) -> dict[str, Any]:
    """Return everything that an attacker may know about the project."""
    stacks = aws.client("cloudformation")
    described = stacks.describe_stacks(StackName=PIPELINE)["Stacks"][0]["Outputs"]
    outputs = {description["OutputKey"]: description["OutputValue"] for description in described}
    stack_resources = stacks.describe_stack_resources(StackName=PIPELINE)["StackResources"]
    roles = {
        resource["LogicalResourceId"]: f"arn:aws:iam::123456789012:role/{resource['PhysicalResourceId']}"
        for resource in stack_resources
        if resource["ResourceType"] == "AWS::IAM::Role"
    }
    packages = aws.client("sagemaker").list_model_packages(ModelPackageGroupName="tiny-dev")
    prefix, there = outputs["KeyPrefix"], contents(aws, outputs["BucketName"])
    recorded = json.loads(there[f"{prefix}decisions/{approved['id']}/run.json"])
    gate = next(stage for stage in recorded["stages"] if stage["name"] == "approval")
    return {
        "bucket": outputs["BucketName"],
        "prefix": prefix,
        "pipeline": PIPELINE,
        "folder": f"{PIPELINE[:20]}/",
        "handed on": [key for key in there if key.startswith(f"{PIPELINE[:20]}/") and "/SourceOutp/" not in key],
        "versions": versions(aws, outputs["BucketName"], f"{prefix}runs/{approved['id']}/run.json"),
        "training": next(stage for stage in recorded["stages"] if stage["name"] == "train")["detail"]["job"],
        "endpoint": "tiny-dev",
        "stack": outputs["EndpointStackName"],
        "image": outputs["ServingImage"],
        "roles": roles,
        "packages": [model_package["ModelPackageArn"] for model_package in packages["ModelPackageSummaryList"]],
        "keys": sorted({*there, f"{prefix}records/approval/{'e' * 64}/r.json"}),
        # What its steps and jobs make themselves: to spoil that is to spoil its own run.
        "open": [f"{prefix}{folder}" for folder in ("artifacts/", "runs/", "records/p")] + own_artifacts(outputs),
        "token": "0f0f0f0f-0000-4000-8000-000000000000",
        "live": gate["output"],
        "approved": approved["id"],
        "key": gate["key"],
    }


def versions(aws: Aws, bucket: str, key: str) -> dict[str, str]:
    """Return the versions of the object, and of no other one."""
    listed = aws.client("s3").list_object_versions(Bucket=bucket, Prefix=key)["Versions"]
    return {key: str(listed[-1]["VersionId"])}


def own_artifacts(outputs: dict[str, str]) -> list[str]:
    return [f"{PIPELINE[:20]}/{folder}" for folder in ("preprocess/", "pre-traini/", "train/", "post-train/")]


def contents(aws: Aws, bucket: str) -> dict[str, bytes]:
    """Return every object of the bucket."""
    s3 = aws.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [content["Key"] for page in pages for content in page.get("Contents", ())]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def spoil(folder: Path, known_facts: dict[str, Any]) -> None:
    """Write the hostile commit: scripts, build, and the template of the endpoint."""
    training, templates = folder / "training", folder / "templates"
    (training / "attack.py").write_text(ATTACK.format(facts=json.dumps(known_facts)))
    for script in ("preprocess", "train"):
        path = training / f"{script}.py"
        path.write_text(path.read_text() + f"\nimport attack\n\nattack.main('job-{script}')\n")
    spec = templates / "buildspec.yml"
    attack = '      - python training/attack.py "$MLOPS_STAGE_NAME" "$MLOPS_RUN_ID"\n'
    last = "      - . .mlops/exports.sh\n"
    assert last in spec.read_text()
    spec.write_text(spec.read_text().replace(last, last + attack))
    endpoint = templates / "endpoint.yaml"
    target = "  Foreign:\n    Type: AWS::CloudFormation::WaitConditionHandle\n\n"
    endpoint.write_text(endpoint.read_text().replace("\nOutputs:", f"\n{target}Outputs:"))


def test_a_hostile_commit_reaches_nothing_that_is_decided_or_live(project: Path, aws: Aws) -> None:
    cloud = Cloud(project, aws, SOURCE="s3").ready()
    approved = cloud.approved()
    assert aws.denials() == []
    known_facts = facts(aws, cloud, approved)
    before = contents(aws, known_facts["bucket"])
    spoil(project, known_facts)

    run = cloud.json("run", "--set", "epochs=2")
    outputs = {stage["name"]: stage["output"] for stage in run["stages"]}
    assert (run["status"], outputs["approval"]) == ("waiting", outputs["train"]), "it asks, and about its own model"
    assert outputs["train"] != known_facts["live"]
    assert cloud.json("status")["endpoint"]["live_digest"] == known_facts["live"]
    assert packages(aws) == {approved["id"]: "Approved", run["id"]: "PendingManualApproval"}

    done = cloud.json("approve", "--run-id", run["id"], "--comment", "nobody has looked", "--yes")
    assert (done["status"], set(statuses(done).values())) == ("done", {"done"})
    template = aws.client("cloudformation").get_template(StackName=known_facts["stack"])["TemplateBody"]
    assert "Foreign" not in str(template), "what is deployed is made from what deploy-infra has sent"

    after = contents(aws, known_facts["bucket"])
    noted = {key.rpartition("/")[2]: json.loads(body) for key, body in after.items() if "/attack/" in key}
    assert set(noted) == {f"{name}.json" for name in (*STEPS, "job-preprocess", "job-train")}
    for at, tried in noted.items():
        assert len(tried) > 40
        assert {name: code for name, code in tried.items() if code not in REFUSED} == {}, at
    same = [key for key in before if not key.startswith(tuple(known_facts["open"])) and "latest" not in key]
    assert [key for key in same if after.get(key) != before[key] and "/source/" not in key] == []


def packages(aws: Aws) -> dict[str, str]:
    """Return the status of the model packages by the run that registered them."""
    sagemaker = aws.client("sagemaker")
    listed = sagemaker.list_model_packages(ModelPackageGroupName="tiny-dev")["ModelPackageSummaryList"]
    packages = [sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"]) for package in listed]
    return {package["CustomerMetadataProperties"]["run"]: package["ModelApprovalStatus"] for package in packages}


def beside(aws: Aws, bucket: str) -> tuple[Callable[[str], Any], Callable[[str, Any], None]]:
    """Read and write documents as the steps and jobs of another run can: below runs/, records/ and artifacts/."""
    s3 = aws.client("s3")

    def read(key: str) -> Any:
        return json.loads(s3.get_object(Bucket=bucket, Key=f"tiny-dev/{key}")["Body"].read())

    def write(key: str, document: Any) -> None:
        s3.put_object(Bucket=bucket, Key=f"tiny-dev/{key}", Body=json.dumps(document).encode())

    return read, write


def job_at_work(aws: Aws, kind: str) -> str:
    """Return the name of the job that a script holds; empty while none is in progress."""
    sagemaker = aws.client("sagemaker")
    listed = {"train": sagemaker.list_training_jobs, "preprocess": sagemaker.list_processing_jobs}[kind]
    name = {"train": "TrainingJob", "preprocess": "ProcessingJob"}[kind]
    records = listed(StatusEquals="InProgress")[f"{name}Summaries"]
    return str(records[0][f"{name}Name"]) if records else ""


def forged(recorded: dict[str, Any], **stages: dict[str, Any]) -> dict[str, Any]:
    """Return a run's record with the changes that another run would make."""
    changed = [{**stage, **stages.get(stage["name"].replace("-", "_"), {})} for stage in recorded["stages"]]
    return {**recorded, "overrides": {"train.epochs": "99"}, "stages": changed}


def test_records_that_another_run_writes_meanwhile_are_not_used(project: Path, aws: Aws) -> None:
    cloud = Cloud(project, aws, SOURCE="s3").ready()
    outputs = aws.client("cloudformation").describe_stacks(StackName=PIPELINE)["Stacks"][0]["Outputs"]
    (bucket,) = (output["OutputValue"] for output in outputs if output["OutputKey"] == "BucketName")
    read, write = beside(aws, bucket)

    held = cloud.held("train.py")
    with cloud.going("run", "--json") as process:
        wait_for(lambda: job_at_work(aws, "train"))
        run_id = cloud.json("runs")[0]["id"]
        recorded = read(f"runs/{run_id}/run.json")
        gate = {"status": "done", "detail": {"passed": 99, "failed": 0, "failures": []}}
        evil = {"artifact": "artifacts/preprocess/evil/evil/", "output": "e" * 64}
        write(f"runs/{run_id}/run.json", forged(recorded, preprocess=evil, pre_training_tests=gate))
        held.unlink()
        out, _ = process.communicate(timeout=LIMIT_SECONDS)
    run = json.loads(out)
    assert (run["status"], run["overrides"]) == ("waiting", {})
    preparation, tests = (next(stage for stage in recorded["stages"] if stage["name"] == name) for name in STEPS[:2])
    decided = read(f"decisions/{run_id}/run.json")
    first = next(stage for stage in decided["stages"] if stage["name"] == "preprocess")
    assert (first["artifact"], first["output"]) == (preparation["artifact"], preparation["output"])
    done = cloud.json("approve", "--run-id", run_id, "--yes")
    assert done["status"] == "done"
    assert done["evidence"]["gates"]["pre-training-tests"]["passed"] == tests["detail"]["passed"] < 99
    failed = {"status": "failed", "reason": "says another run", "detail": {"passed": 0, "failed": 9, "failures": []}}
    write(f"runs/{run_id}/run.json", forged(read(f"decisions/{run_id}/run.json"), post_training_tests=failed))
    assert statuses(cloud.json("status", run_id)["run"])["post-training-tests"] == "done"

    held = cloud.held("preprocess.py")
    with cloud.going("run") as process:
        job = wait_for(lambda: job_at_work(aws, "preprocess"))
        described = aws.client("sagemaker").describe_processing_job(ProcessingJobName=job)
        uri = described["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
        write(uri.partition("/tiny-dev/")[2] + "more.csv", "rows of another run")
        held.unlink()
        _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 3
    assert "The output of preprocess differs from its job's list of files" in err
    assert "mlops run --force" in err
    assert "The output of preprocess differs from its job's list of files" in cloud("run", code=3), "repeated, too"

    forced = cloud.json("run", "--force")
    assert forced["status"] == "waiting"
    record = next(
        stage for stage in read(f"decisions/{forced['id']}/run.json")["stages"] if stage["name"] == "preprocess"
    )
    facts_of_another = {"dataset": {"source": "evil", "rows": 9999, "synthetic": False}, "rows": 9999}
    lie = {"cache_inputs": {"the data": "e" * 64}, "detail": {**record["detail"], **facts_of_another}}
    write(f"records/preprocess/{record['key']}.json", {**record, **lie})
    reusing = cloud.json("run", "--set", "epochs=3")
    assert (reusing["status"], statuses(reusing)["preprocess"]) == ("waiting", "reused")
    reused = next(
        stage for stage in read(f"decisions/{reusing['id']}/run.json")["stages"] if stage["name"] == "preprocess"
    )
    assert (reused["cache_inputs"], reused["detail"]) == (record["cache_inputs"], record["detail"])
    write(f"records/preprocess/{record['key']}.json", {**preparation, "key": record["key"]})
    _, err = cloud.both("run", "--set", "epochs=4", code=3)
    assert "The output of preprocess that this run reuses comes from another job" in err
    assert aws.denials() == []
