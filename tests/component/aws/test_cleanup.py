"""Cleanup on the simulated AWS removes all of our resources and no other ones, from any state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.tests.sagemaker.endpoint_account import Models
from aws_simulator.tests.sagemaker.job_account import Jobs
from mlops_cli.backends.aws.cleanup.s3_objects import ProjectObjects
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.plan import Action, Plan
from mlops_cli.core.progress import ResourceEvent, no_report
from mlops_cli.errors import MlopsError
from mlops_cli.project.usecase.data_request import data_request
from tests.component.aws.conftest import Scenario
from tests.component.aws.infra.test_deploy import never_whole

STORAGE, PIPELINE, ENDPOINT = (f"mlops-tiny-dev-{part}" for part in ("storage", "pipeline", "endpoint"))
TAGS = {"mlops:project": "tiny", "mlops:environment": "dev"}
TOPIC = "Resources: {Topic: {Type: 'AWS::SNS::Topic'}}"


def tags(values: dict[str, str] = TAGS) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in values.items()]


def lines(plan: Plan, action: Action) -> list[str]:
    return [f"{change.resource} {change.reason}".strip() for change in plan.changes if change.action is action]


def settled(scenario: Scenario, **settings: str) -> str:
    """Create both stacks and data in the bucket. Return the bucket's name."""
    backend = scenario.backend(**settings)
    backend.infra.deploy()
    path = scenario.root / "tiny.csv"
    path.write_text("id,text,long\n" + "".join(f"{n},text number {n},{n % 2}\n" for n in range(9)))
    backend.data.download(data_request(backend.deployed.use_case, [str(path)]), no_report)
    return str(backend.deployed.bucket.name)


def clean(scenario: Scenario, keep_data: bool = False, **settings: str) -> Plan:
    return scenario.backend(**settings).infra.cleanup(keep_data)


def existing_bucket(scenario: Scenario, name: str = "somebodys") -> Any:
    s3 = scenario.aws.client("s3")
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return s3


def buckets(scenario: Scenario) -> list[str]:
    return [bucket["Name"] for bucket in scenario.aws.client("s3").list_buckets()["Buckets"]]


def log_groups(scenario: Scenario) -> list[str]:
    return [log_group["logGroupName"] for log_group in scenario.aws.client("logs").describe_log_groups()["logGroups"]]


def test_an_empty_account_needs_no_cleanup(scenario: Scenario) -> None:
    assert scenario.backend().infra.plan_cleanup(keep_data=False).active == ()
    assert clean(scenario).active == ()


def test_all_created_resources_are_removed_and_a_second_cleanup_finds_none(scenario: Scenario) -> None:
    bucket = settled(scenario)
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    removed = " ".join(lines(plan, Action.REMOVE))
    assert all(part in removed for part in (f"stack {STORAGE}", f"stack {PIPELINE}", f"s3://{bucket}/tiny-dev/"))
    seen: list[ResourceEvent] = []
    assert scenario.backend().infra.cleanup(False, seen.append).active == ()
    assert scenario.stacks() == {}
    assert buckets(scenario) == []
    assert log_groups(scenario) == []
    assert (PIPELINE, "DELETE_COMPLETE") in [(event.name, event.status) for event in seen]
    assert clean(scenario).active == ()


def test_a_plan_changes_nothing(scenario: Scenario) -> None:
    bucket = settled(scenario)
    before = (scenario.stacks(), scenario.keys(bucket))
    assert kept_groups(scenario) == [], "those of a stack go with it"
    scenario.backend().infra.plan_cleanup(keep_data=False)
    assert (scenario.stacks(), scenario.keys(bucket)) == before


def test_an_existing_bucket_keeps_all_that_is_not_ours(scenario: Scenario) -> None:
    s3 = existing_bucket(scenario)
    theirs = ["mine.txt", "tiny-dev2/data/dataset.csv", "mlops-tiny-dev-pipel/x/of-another-pipeline"]
    for key in (*theirs, "mine.txt"):
        s3.put_object(Bucket="somebodys", Key=key, Body=b"x")
    s3.delete_object(Bucket="somebodys", Key="mine.txt")
    s3.create_multipart_upload(Bucket="somebodys", Key="mine.part")
    before = scenario.keys("somebodys")
    settled(scenario, BUCKET_NAME="somebodys")
    assert len(scenario.keys("somebodys")) > len(before)
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    assert "bucket somebodys it existed before; other objects in it stay" in lines(plan, Action.KEEP)
    assert clean(scenario).active == ()
    assert scenario.keys("somebodys") == before
    assert len(s3.list_multipart_uploads(Bucket="somebodys")["Uploads"]) == 1
    assert scenario.stacks() == {}


def test_artifacts_of_the_pipelines_runs_go_from_an_existing_bucket_too(scenario: Scenario) -> None:
    existing_bucket(scenario)
    settled(scenario, BUCKET_NAME="somebodys")
    assert [key for key in scenario.keys("somebodys") if key.startswith("mlops-tiny-dev-pipel/")]
    clean(scenario)
    assert scenario.keys("somebodys") == []


def test_our_bucket_stays_while_it_has_other_objects(scenario: Scenario) -> None:
    bucket = settled(scenario)
    scenario.aws.client("s3").put_object(Bucket=bucket, Key="thesis.pdf", Body=b"x")
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    assert f"bucket {bucket} it contains objects that mlops did not create, such as thesis.pdf" in lines(
        plan, Action.KEEP
    )
    assert clean(scenario).active == ()
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE"}
    assert scenario.keys(bucket) == ["thesis.pdf"]
    scenario.aws.client("s3").delete_object(
        Bucket=bucket,
        Key="thesis.pdf",
        VersionId=scenario.aws.client("s3").list_object_versions(Bucket=bucket)["Versions"][0]["VersionId"],
    )
    assert clean(scenario).active == ()
    assert scenario.stacks() == {}


def test_the_data_can_be_kept_and_used_again(scenario: Scenario) -> None:
    bucket = settled(scenario)
    dataset = scenario.backend().data.dataset()
    assert clean(scenario, keep_data=True).active == ()
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE"}
    assert scenario.keys(bucket) == ["tiny-dev/data/dataset.csv", "tiny-dev/data/dataset.json"]
    assert scenario.backend().data.dataset() == dataset
    assert clean(scenario).active == ()
    assert buckets(scenario) == []


def test_unfinished_uploads_go(scenario: Scenario) -> None:
    bucket = settled(scenario)
    scenario.aws.client("s3").create_multipart_upload(Bucket=bucket, Key="tiny-dev/data/dataset.csv")
    assert "unfinished upload" in " ".join(lines(scenario.backend().infra.plan_cleanup(keep_data=False), Action.REMOVE))
    assert clean(scenario).active == ()


def test_another_environment_and_another_project_stay(scenario: Scenario) -> None:
    settled(scenario)
    scenario.backend(STAGE="dev-2").infra.deploy()
    clean(scenario)
    assert set(scenario.stacks()) == {"mlops-tiny-dev-2-storage", "mlops-tiny-dev-2-pipeline"}
    assert clean(scenario, STAGE="dev-2").active == ()
    assert scenario.stacks() == {}


def test_another_owners_stack_with_our_name_stays(scenario: Scenario) -> None:
    scenario.aws.client("cloudformation").create_stack(StackName=STORAGE, TemplateBody=TOPIC)
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    assert plan.active == ()
    assert f"stack {STORAGE} not created by mlops for this project" in lines(plan, Action.KEEP)
    assert clean(scenario).active == ()
    assert STORAGE in scenario.stacks()


def test_the_change_sets_of_a_killed_plan_are_removed(scenario: Scenario) -> None:
    scenario.backend().infra.plan()
    assert scenario.stacks() == {STORAGE: "REVIEW_IN_PROGRESS"}
    assert clean(scenario).active == ()
    assert scenario.stacks() == {}


def test_a_stack_that_was_never_whole_goes(scenario: Scenario) -> None:
    never_whole(scenario)
    assert clean(scenario).active == ()
    assert scenario.stacks() == {}


def test_a_bucket_that_is_gone_already_is_no_obstacle(scenario: Scenario) -> None:
    bucket = settled(scenario)
    root = scenario.backend().deployed.bucket
    root.prefix = ""
    root.delete("")
    scenario.aws.client("s3").delete_bucket(Bucket=bucket)
    assert clean(scenario).active == ()
    assert scenario.stacks() == {}


def test_the_endpoints_stack_goes_before_the_pipelines(scenario: Scenario) -> None:
    settled(scenario)
    scenario.aws.client("cloudformation").create_stack(StackName=ENDPOINT, TemplateBody=TOPIC, Tags=tags())
    seen: list[ResourceEvent] = []
    assert scenario.backend().infra.cleanup(False, seen.append).active == ()
    gone = [event.name for event in seen if event.kind == "AWS::CloudFormation::Stack" and event.ended]
    assert gone == [ENDPOINT, PIPELINE, STORAGE]


def test_jobs_are_stopped_and_they_and_their_logs_go_but_not_those_of_others(scenario: Scenario) -> None:
    jobs = Jobs(scenario.aws)
    for name, owner in (("tiny-dev-train-1", TAGS), ("tiny-dev-2-train-1", {**TAGS, "mlops:environment": "dev-2"})):
        jobs.train(name, "print('a line')", Tags=tags(owner))
    jobs.sagemaker.create_training_job(
        **jobs.training("tiny-dev-train-2", "import time; print('x'); time.sleep(600)", Tags=tags())
    )
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    assert "training job tiny-dev-train-2 InProgress" in lines(plan, Action.STOP)
    assert "log group /aws/sagemaker/TrainingJobs shared by all jobs of the account" in lines(plan, Action.KEEP)
    assert clean(scenario).active == ()
    remaining = jobs.sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert [remaining["TrainingJobName"] for remaining in remaining] == ["tiny-dev-2-train-1"]
    streams = scenario.aws.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/TrainingJobs")["logStreams"]
    assert {stream["logStreamName"].split("/")[0] for stream in streams} == {"tiny-dev-2-train-1"}


def test_model_versions_go_before_their_group(scenario: Scenario) -> None:
    bucket = settled(scenario)
    sagemaker = scenario.aws.client("sagemaker")
    scenario.aws.client("s3").put_object(Bucket=bucket, Key="tiny-dev/models/x/model.tar.gz", Body=b"x")
    containers = [{"Image": image(scenario), "ModelDataUrl": f"s3://{bucket}/tiny-dev/models/x/model.tar.gz"}]
    for _ in range(2):
        sagemaker.create_model_package(
            ModelPackageGroupName="tiny-dev",
            InferenceSpecification={
                "Containers": containers,
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
            ModelApprovalStatus="PendingManualApproval",
        )
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    assert "2 model versions registered in tiny-dev" in lines(plan, Action.REMOVE)
    assert clean(scenario).active == ()
    assert sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"] == []


def image(scenario: Scenario) -> str:
    return scenario.backend().deployed.stacks.required(PIPELINE)["ServingImage"]


def test_a_log_group_that_a_service_made_again_goes(scenario: Scenario) -> None:
    settled(scenario)
    clean(scenario)
    logs = scenario.aws.client("logs")
    for name in (f"/aws/codebuild/{PIPELINE}", "/aws/sagemaker/Endpoints/tiny-dev", f"/aws/codebuild/{PIPELINE}-2"):
        logs.create_log_group(logGroupName=name)
    assert len(lines(scenario.backend().infra.plan_cleanup(keep_data=False), Action.REMOVE)) == 2
    assert clean(scenario).active == ()
    assert log_groups(scenario) == [f"/aws/codebuild/{PIPELINE}-2"]
    assert kept_groups(scenario) == []


def kept_groups(scenario: Scenario) -> list[str]:
    plan = scenario.backend().infra.plan_cleanup(keep_data=False)
    return [line for line in lines(plan, Action.KEEP) if line.startswith("log group")]


def test_a_log_group_with_only_our_name_stays(scenario: Scenario) -> None:
    """If we have and had no such stack, another owner's endpoint writes this log."""
    name = "/aws/sagemaker/Endpoints/tiny-dev"
    scenario.aws.client("logs").create_log_group(logGroupName=name)
    assert clean(scenario).active == ()
    assert log_groups(scenario) == [name]
    (kept,) = kept_groups(scenario)
    assert kept.startswith(f"log group {name} no proof that mlops created it")
    assert kept.endswith(f"aws logs delete-log-group --log-group-name {name} --region us-east-1")
    ours = tags({**TAGS, "mlops:owner": "root"})
    scenario.aws.client("cloudformation").create_stack(StackName=PIPELINE, TemplateBody=TOPIC, Tags=ours)
    assert clean(scenario).active == ()
    assert log_groups(scenario) == [name], "a stack of ours that has not made it shows nothing"


def test_a_log_group_that_existed_before_our_stack_stays(scenario: Scenario) -> None:
    name = "/aws/sagemaker/Endpoints/tiny-dev"
    scenario.aws.client("logs").create_log_group(logGroupName=name)
    with pytest.raises(MlopsError, match="exists"):
        scenario.backend().infra.deploy()
    assert clean(scenario).active == ()
    assert log_groups(scenario) == [name]
    assert scenario.stacks() == {}


def test_a_log_group_that_is_much_younger_than_our_stack_stays(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(scenario)
    clean(scenario)
    monkeypatch.setattr("mlops_cli.backends.aws.cleanup.log_groups.LATE_SECONDS", -3600.0)
    scenario.aws.client("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/tiny-dev")
    assert clean(scenario).active == ()
    assert len(kept_groups(scenario)) == 1


def test_a_log_group_of_another_owners_endpoint_stays(scenario: Scenario, tiny_model: Path, tmp_path: Path) -> None:
    settled(scenario)
    clean(scenario)
    scenario.aws.client("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/tiny-dev")
    theirs = Models(scenario.aws, tiny_model, tmp_path)
    theirs.config("theirs")
    theirs.endpoint("tiny-dev", "theirs")
    assert clean(scenario).active == ()
    assert len(kept_groups(scenario)) == 1
    assert scenario.aws.client("sagemaker").list_endpoints()["Endpoints"] != []


def test_a_resource_that_cannot_be_removed_is_listed_with_its_reason(scenario: Scenario) -> None:
    settled(scenario)
    scenario.aws.client("cloudformation").update_termination_protection(
        StackName=PIPELINE, EnableTerminationProtection=True
    )
    remaining = clean(scenario)
    assert [change.resource for change in remaining.active] == [f"stack {PIPELINE}", f"stack {STORAGE}"]
    assert "TerminationProtection" in remaining.active[0].reason.replace(" ", "")
    scenario.aws.client("cloudformation").update_termination_protection(
        StackName=PIPELINE, EnableTerminationProtection=False
    )
    assert clean(scenario).active == ()


def test_the_command_asks_and_proves(scenario: Scenario) -> None:
    settled(scenario)
    cli = scenario.cli()
    assert "there is no terminal" in cli.both("cleanup", code=2)[1]
    assert "dry run: nothing was changed" in cli("cleanup", "--dry-run")
    assert set(scenario.stacks()) == {STORAGE, PIPELINE}
    out = cli("cleanup", "--yes")
    assert out.splitlines()[0].startswith("account 123456789012, region us-east-1")
    assert out.splitlines()[-1] == "verified: no resources created by mlops remain"
    assert "nothing to remove" in cli("cleanup", "--yes")


def test_the_command_ends_with_5_when_something_is_left(scenario: Scenario) -> None:
    settled(scenario)
    scenario.aws.client("cloudformation").update_termination_protection(
        StackName=STORAGE, EnableTerminationProtection=True
    )
    document = scenario.cli().json("cleanup", "--yes", code=5)
    assert [change["resource"] for change in document["left"] if change["action"] != "keep"] == [f"stack {STORAGE}"]


@pytest.mark.parametrize(
    ("code", "message", "gone"),
    [
        ("ValidationException", 'Could not find endpoint "arn:aws:sagemaker:..:endpoint/x".', True),
        ("ValidationException", "Model Package Group arn:... does not exist.", True),
        ("ValidationException", "Cannot delete a model package that is in use", False),
        ("ResourceNotFound", "", True),
        ("ExecutionDoesNotExist", "", True),
        ("PipelineNotFoundException", "", True),
        ("NoSuchUpload", "The specified multipart upload does not exist.", True),
        ("NoSuchEntity", "", True),
        ("InvalidSubnetID.NotFound", "", True),
        ("ConflictException", "", False),
        ("AccessDeniedException", "not found", False),
    ],
)
def test_only_deleted_resources_count_as_removed(code: str, message: str, gone: bool) -> None:
    assert AwsError("", "", code, message).is_not_found is gone


def test_a_state_of_another_version_is_refused_and_removed(scenario: Scenario) -> None:
    name = settled(scenario)
    s3 = scenario.aws.client("s3")
    s3.put_object(Bucket=name, Key="tiny-dev/format.json", Body=b'{"format": 999}')
    cli = scenario.cli()
    for command in ("status", "run", "models", "rollback --yes", "deploy-infra --yes"):
        _, error = cli.both(*command.split(), code=1)
        assert f"s3://{name}/tiny-dev/ was written by another version of mlops (format 999, this one reads" in error, (
            command
        )
        assert "mlops cleanup --keep-data" in error, command
    assert "was written by another version of mlops" in " ".join(cli("doctor", code=1).split())
    below = Bucket(scenario.backend().deployed.account.client("s3"), name, "tiny-dev/")
    objects = ProjectObjects(below.client, below.client, name, scenario.backend().deployed.names, "", owned=True)
    assert list(objects._below(keep_data=False))[-1]["Key"] == "tiny-dev/format.json", "a killed cleanup leaves it"
    assert clean(scenario, keep_data=True).active == ()
    scenario.backend().infra.deploy()
    assert scenario.backend().runs.list_runs() == []


def test_a_stack_of_an_older_version_without_the_bucket_owner_is_removed(scenario: Scenario) -> None:
    text = (scenario.root / "templates" / "storage.yaml").read_text()
    scenario.edit("storage.yaml", text[text.index("  BucketOwned:") :], "  Other:\n    Value: x\n")
    name = settled(scenario)
    assert clean(scenario).active == ()
    assert name not in buckets(scenario)


def test_the_companys_resources_stay(scenario: Scenario) -> None:
    boundary = "arn:aws:iam::123456789012:policy/limit"
    everything = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    )
    scenario.aws.client("iam").create_policy(PolicyName="limit", PolicyDocument=everything)
    scenario.backend(PERMISSIONS_BOUNDARY=boundary).infra.deploy()
    changes = scenario.backend().infra.plan_cleanup(keep_data=False).changes
    assert (Action.KEEP, f"policy {boundary}") in [(change.action, change.resource) for change in changes]
