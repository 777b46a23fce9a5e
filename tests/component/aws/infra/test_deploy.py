"""deploy-infra and download-data on the simulated AWS: planned, and executed as shown, from any state."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from mlops_cli.backends.aws.backend import AwsBackend
from mlops_cli.backends.aws.clients.change_sets import INLINE_BYTES
from mlops_cli.backends.aws.infra import replaced_data
from mlops_cli.backends.aws.infra.stack_parameters import check_settings
from mlops_cli.core.checks import State
from mlops_cli.core.engine import RunView
from mlops_cli.core.plan import Action, Plan
from mlops_cli.core.progress import ResourceEvent, no_report
from mlops_cli.core.runs import RunRequest, new_run
from mlops_cli.errors import MlopsError
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.data_request import data_request
from tests.component.aws.conftest import Scenario
from tests.conftest import Cli, wait_for

STORAGE, PIPELINE = "mlops-tiny-dev-storage", "mlops-tiny-dev-pipeline"


def actions(plan: Plan) -> set[Action]:
    return {change.action for change in plan.changes}


def what(plan: Plan, action: Action) -> list[str]:
    return [change.resource for change in plan.changes if change.action is action]


def bucket_of(scenario: Scenario) -> str:
    return str(scenario.backend().deployed.bucket.name)


def ours(scenario: Scenario) -> list[str]:
    """Return the objects below the project's prefix, without CodePipeline's artifacts."""
    return [key for key in scenario.keys(bucket_of(scenario)) if key.startswith("tiny-dev/")]


def test_a_plan_that_is_forgotten_leaves_nothing(scenario: Scenario) -> None:
    backend = scenario.backend(NOTIFICATION_EMAIL="a@b.org")
    plan = backend.infra.plan()
    assert {"AWS::S3::Bucket Bucket", "AWS::SNS::Topic Topic", "source/source.zip"} <= set(what(plan, Action.ADD))
    (mail,) = (change for change in plan.changes if change.resource == "mail to a@b.org")
    assert "AWS sends a new address a link first" in mail.reason
    backend.infra.discard_plan()
    assert scenario.stacks() == {}


def test_it_is_made_once_and_then_there_is_nothing_to_do(scenario: Scenario) -> None:
    seen: list[ResourceEvent] = []
    scenario.backend().infra.deploy(seen.append)
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE", PIPELINE: "CREATE_COMPLETE"}
    assert {event.group for event in seen} >= {STORAGE, PIPELINE}
    fresh_backend = scenario.backend()
    assert actions(fresh_backend.infra.plan()) == {Action.KEEP}
    fresh_backend.infra.deploy()
    # CodePipeline begins a run as it makes a pipeline; deploy-infra stops it, before or after it has written.
    folders = [key.split("/")[1] for key in ours(scenario)]
    assert [folder for folder in folders if folder != "runs"] == ["cli", "cli", "format.json", "source"]


def test_stacks_and_what_is_in_them_are_tagged(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    for stack in scenario.aws.client("cloudformation").describe_stacks()["Stacks"]:
        tags = {tag["Key"]: tag["Value"] for tag in stack["Tags"]}
        assert tags == {"mlops:project": "tiny", "mlops:environment": "dev", "mlops:owner": "root"}


def test_a_changed_setting_is_planned_and_nothing_else_is(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    backend = scenario.backend(INSTANCE="ml.c5.xlarge")
    plan = backend.infra.plan()
    assert "AWS::CodeBuild::Project BuildProject" in what(plan, Action.CHANGE)
    assert not [change for change in plan.active if change.action is not Action.CHANGE]
    backend.infra.deploy()
    assert scenario.stacks()[PIPELINE] == "UPDATE_COMPLETE"


LOG_GROUP = "LogGroupName: !Sub /aws/codebuild/${AWS::StackName}"


def test_what_holds_something_and_would_go_says_so(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    scenario.edit("pipeline.yaml", LOG_GROUP, "LogGroupName: /another/name")
    backend = scenario.backend()
    change = next(change for change in backend.infra.plan().active if "BuildLogs" in change.resource)
    assert (change.action, change.data_loss) == (Action.REPLACE, "the logs in it")
    backend.infra.discard_plan()
    out = scenario.cli()("deploy-infra", "--dry-run")
    assert "LOSES the logs in it" in out
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"


def test_a_stack_that_changed_behind_the_plans_back_is_left_alone(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    backend = scenario.backend(INSTANCE="ml.c5.xlarge")
    backend.infra.plan()
    scenario.backend(INSTANCE="ml.c5.xlarge").infra.deploy()
    with pytest.raises(MlopsError, match="has changed since the plan was made"):
        backend.infra.deploy()


def test_an_existing_bucket_is_used_and_not_changed(scenario: Scenario) -> None:
    s3 = scenario.aws.client("s3")
    s3.create_bucket(Bucket="somebodys")
    s3.put_bucket_versioning(Bucket="somebodys", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="somebodys", Key="theirs.txt", Body=b"x")
    scenario.backend(BUCKET_NAME="somebodys").infra.deploy()
    assert bucket_of(scenario) == "somebodys"
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_bucket_policy(Bucket="somebodys")
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_bucket_lifecycle_configuration(Bucket="somebodys")
    assert "theirs.txt" in scenario.keys("somebodys")
    assert actions(scenario.backend().infra.plan()) == {Action.KEEP}
    assert actions(scenario.backend(BUCKET_NAME="somebodys").infra.plan()) == {Action.KEEP}


def test_a_bucket_name_that_nobody_has_is_made(scenario: Scenario) -> None:
    scenario.backend(BUCKET_NAME="a-name-of-ours").infra.deploy()
    assert bucket_of(scenario) == "a-name-of-ours"
    assert scenario.backend().deployed.stacks.required(STORAGE)["BucketOwned"] == "true"


def test_another_bucket_than_the_stacks_is_refused(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    with pytest.raises(MlopsError, match="BUCKET_NAME is elsewhere"):
        scenario.backend(BUCKET_NAME="elsewhere").infra.plan()


def test_a_bucket_in_another_region_is_named(scenario: Scenario) -> None:
    scenario.aws.client("s3").create_bucket(
        Bucket="far-away", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    with pytest.raises(MlopsError, match="is in eu-west-1") as caught:
        scenario.backend(BUCKET_NAME="far-away").infra.plan()
    assert "--region eu-west-1" in caught.value.hint


def test_a_bucket_that_is_closed_to_us_is_somebody_elses(scenario: Scenario) -> None:
    scenario.aws.client("s3").create_bucket(Bucket="theirs")
    iam = scenario.aws.client("iam")
    iam.create_user(UserName="eve")
    allowed = {"Effect": "Allow", "Action": "cloudformation:*", "Resource": "*"}
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.put_user_policy(UserName="eve", PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    _, err = scenario.cli(BUCKET_NAME="theirs", **keys).both("deploy-infra", "--yes", code=1)
    assert err.startswith("error: The bucket theirs belongs to another account, or you may not use it.")
    assert scenario.stacks() == {}


def test_the_source_stays_what_it_is_unless_asked(scenario: Scenario) -> None:
    scenario.backend(SOURCE="s3").infra.deploy()
    default = scenario.backend()
    default.deployed.infra_deployer._settings = resolve({}, {}, {})
    assert actions(default.infra.plan()) == {Action.KEEP}
    changed = scenario.backend(SOURCE="codecommit")
    pipelines = scenario.aws.client("codepipeline")
    run = pipelines.start_pipeline_execution(name=PIPELINE)["pipelineExecutionId"]
    changed.infra.plan()
    with pytest.raises(MlopsError, match=f"would change during run {run}: CodePipeline") as caught:
        changed.infra.deploy()
    changed.infra.discard_plan()
    assert f"mlops stop {run}" in caught.value.hint
    assert changed.deployed.stacks.required(PIPELINE)["SourceType"] == "s3"
    pipelines.stop_pipeline_execution(pipelineName=PIPELINE, pipelineExecutionId=run, abandon=True)
    changed.infra.deploy()
    assert changed.deployed.stacks.required(PIPELINE)["SourceType"] == "codecommit"


def uses_of(backend: AwsBackend) -> list[Callable[[], object]]:
    """Return everything that changes, uses or costs money in a project's stacks."""
    run, view = new_run("0" * 36, {}), cast("RunView", None)
    request = data_request(backend.deployed.use_case, ["tiny.csv"])
    return [
        lambda: backend.infra.plan_cleanup(keep_data=False),
        lambda: backend.infra.cleanup(keep_data=True),
        lambda: backend.data.download(request, no_report),
        lambda: backend.runs.start(RunRequest(), view),
        lambda: backend.runs.stop(run),
        lambda: backend.approvals.check_waiting(run),
        lambda: backend.approvals.approve(run, True, "", view),
        lambda: backend.models.plan_rollback(""),
        lambda: backend.models.rollback("", "", view),
        lambda: backend.reproductions.reproduce(run, view),
        lambda: backend.endpoint.invoke(b"", "text/csv"),
        backend.endpoint.run_gate,
    ]


def test_nobody_uses_the_stacks_of_a_neighbour_or_those_without_an_owner(scenario: Scenario) -> None:
    scenario.backend().infra.deploy()
    ben = scenario.backend(OWNER="ben")
    for use in (*uses_of(ben), ben.infra.plan):
        with pytest.raises(
            MlopsError, match=f"{STORAGE} belongs to root, and you are ben. Nothing was changed"
        ) as caught:
            use()
        assert "OWNER=root" in caught.value.hint
    assert "owner root" in what(scenario.backend(OWNER="root").infra.plan(), Action.KEEP)
    scenario.tag_stack(STORAGE, {"mlops:project": "tiny", "mlops:environment": "dev"})
    for use in uses_of(scenario.backend()):
        with pytest.raises(MlopsError, match=f"{STORAGE} has no owner") as caught:
            use()
        assert "mlops deploy-infra" in caught.value.hint
    scenario.tag_stack(PIPELINE, {"mlops:project": "tiny", "mlops:environment": "dev"})
    ben.infra.deploy()
    with pytest.raises(MlopsError, match=f"{STORAGE} belongs to ben, and you are root"):
        scenario.backend().approvals.check_waiting(new_run("r1", {}))


def lengthen(scenario: Scenario) -> None:
    """Make the pipeline's template longer than a request may be."""
    value = "x" * 1000
    outputs = "".join(f"  Padding{number}:\n    Value: {value}\n" for number in range(INLINE_BYTES // len(value) + 1))
    scenario.edit("pipeline.yaml", "\nOutputs:\n", f"\nOutputs:\n{outputs}")


def test_a_template_that_is_too_long_for_a_request_is_sent_from_the_bucket(scenario: Scenario) -> None:
    lengthen(scenario)
    backend = scenario.backend(SOURCE="s3")
    assert f"stack {PIPELINE}" in what(backend.infra.plan(), Action.ADD)
    backend.infra.discard_plan()
    assert scenario.stacks() == {}
    backend.infra.plan()
    backend.infra.deploy()
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"
    assert any(key.endswith(f"/{PIPELINE}.yaml") for key in ours(scenario))
    assert backend.infra.plan().active == ()
    scenario.edit("pipeline.yaml", "    PipelineType: V2", "    PipelineType: V2\n      RestartExecutionOnUpdate: true")
    assert "AWS::CodePipeline::Pipeline Pipeline" in what(backend.infra.plan(), Action.CHANGE)


def test_a_connection_needs_its_two_settings(scenario: Scenario) -> None:
    with pytest.raises(MlopsError, match="SOURCE=connection needs a connection and a repository"):
        scenario.backend(SOURCE="connection").infra.plan()
    arn = "arn:aws:codeconnections:us-east-1:123456789012:connection/1a2b"
    backend = scenario.backend(SOURCE="connection", CONNECTION_ARN=arn, FULL_REPOSITORY_ID="me/mine")
    kept = [change for change in backend.infra.plan().changes if change.resource == "source"]
    assert "nothing is uploaded" in kept[0].reason
    backend.infra.deploy()
    assert [key.split("/")[1] for key in ours(scenario)] == ["cli", "cli", "format.json"], (
        "wheel, endpoint template, format"
    )


@pytest.mark.parametrize(("use_case", "stage"), [("Tiny", "dev"), ("tiny", "x" * 38)])
def test_a_name_that_is_invalid_on_aws_is_reported_first(scenario: Scenario, use_case: str, stage: str) -> None:
    path = scenario.root / "training" / "usecase.toml"
    path.write_text(path.read_text().replace('name = "tiny"', f'name = "{use_case}"'))
    backend = scenario.backend(STAGE=stage)
    with pytest.raises(MlopsError, match="is not valid on AWS"):
        backend.infra.plan()
    backend.infra.discard_plan()
    assert scenario.stacks() == {}


def test_a_gate_that_is_longer_than_a_build_on_aws_is_reported_first(scenario: Scenario) -> None:
    with (scenario.root / "training" / "usecase.toml").open("a") as file:
        file.write("\n[time_limits]\npost-training-tests = 2146\n")
    backend = scenario.backend()
    with pytest.raises(MlopsError, match=r"post-training-tests has 2,146 minutes in \[time_limits\], but a build"):
        backend.infra.plan()
    backend.infra.discard_plan()
    assert scenario.stacks() == {}


def never_whole(scenario: Scenario) -> None:
    """Return a pipeline stack that was rolled back after a failed creation."""
    right, wrong = "          Key: !Sub ${KeyPrefix}source/source.zip", "          Key: nowhere.zip"
    scenario.edit("pipeline.yaml", right, wrong)
    with pytest.raises(MlopsError, match=r"Repository \(AWS::CodeCommit::Repository\) is CREATE_FAILED, says AWS: "):
        scenario.backend(SOURCE="codecommit").infra.deploy()
    scenario.edit("pipeline.yaml", wrong, right)
    assert scenario.stacks()[PIPELINE] == "ROLLBACK_COMPLETE"


def test_after_a_failed_creation_the_next_attempt_starts_again(scenario: Scenario) -> None:
    never_whole(scenario)
    backend = scenario.backend(SOURCE="codecommit")
    plan = backend.infra.plan()
    removed = [change for change in plan.changes if change.action is Action.REMOVE]
    assert [change.resource for change in removed] == [f"stack {PIPELINE}"]
    assert "its creation failed: Repository (AWS::CodeCommit::Repository): " in removed[0].reason
    assert "AWS::CodePipeline::Pipeline" in what(plan, Action.ADD)
    backend.infra.deploy()
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"


def test_a_long_template_replaces_a_stack_whose_creation_failed(scenario: Scenario) -> None:
    never_whole(scenario)
    lengthen(scenario)
    s3, bucket = scenario.aws.client("s3"), bucket_of(scenario)
    for version in s3.list_object_versions(Bucket=bucket)["Versions"]:
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    scenario.aws.client("cloudformation").delete_stack(StackName=STORAGE)
    wait_for(lambda: STORAGE not in scenario.stacks())
    backend = scenario.backend(SOURCE="codecommit")
    plan = backend.infra.plan()
    assert what(plan, Action.REMOVE) == [f"stack {PIPELINE}"]
    assert f"stack {PIPELINE}" in what(plan, Action.ADD)
    backend.infra.deploy()
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"


def test_a_repositorys_name_that_is_taken_is_reported(scenario: Scenario) -> None:
    scenario.aws.client("codecommit").create_repository(repositoryName="taken")
    with pytest.raises(MlopsError, match=r"Repository \(AWS::CodeCommit::Repository\).*already exists") as caught:
        scenario.backend(SOURCE="codecommit", REPOSITORY_NAME="taken").infra.deploy()
    assert "set another REPOSITORY_NAME" in caught.value.hint


def test_an_account_that_codecommit_is_closed_to_goes_on_with_the_bucket(scenario: Scenario) -> None:
    scenario.aws.control("codecommit-closed")
    backend = scenario.backend(SOURCE="codecommit")
    (warned,) = (change for change in backend.infra.plan().changes if change.resource == "CodeCommit")
    assert "SOURCE=s3 needs no repository" in warned.reason
    with pytest.raises(MlopsError, match="there is no existing repository in this AWS account") as caught:
        backend.infra.deploy()
    assert "--source s3" in caught.value.hint
    scenario.backend(SOURCE="s3").infra.deploy()
    assert scenario.stacks()[PIPELINE] == "CREATE_COMPLETE"


def test_a_region_without_codecommit_is_named_before_anything_is_made(scenario: Scenario) -> None:
    with pytest.raises(MlopsError, match="is not offered in ca-west-1") as caught:
        scenario.backend(SOURCE="codecommit", AWS_REGION="ca-west-1").infra.plan()
    assert "--source s3" in caught.value.hint
    assert scenario.aws.client("cloudformation").describe_stacks()["Stacks"] == []
    deployed = scenario.backend(AWS_REGION="ca-west-1").deployed
    check_settings(resolve({"SOURCE": "s3"}, {}, {}), deployed.use_case, deployed.account, None)


def test_a_part_of_a_network_is_refused_before_anything_is_made(scenario: Scenario) -> None:
    backend = scenario.backend(VPC_ID="vpc-01234567", SUBNET_IDS="subnet-01234567")
    with pytest.raises(MlopsError, match="SECURITY_GROUP_IDS is empty") as caught:
        backend.infra.plan()
    assert caught.value.hint == "Set all three, or none."
    assert scenario.stacks() == {}
    (finding,) = (check for check in backend.run_checks() if check.name == "company")
    assert (finding.state, finding.message) == (State.FAILURE, caught.value.message)


NETWORK = {"VPC_ID": "vpc-01234567", "SUBNET_IDS": "subnet-01234567", "SECURITY_GROUP_IDS": "sg-01234567"}


def test_a_serverless_endpoint_in_a_network_is_refused_before_anything_is_made(scenario: Scenario) -> None:
    use_case = scenario.root / "training" / "usecase.toml"
    use_case.write_text(use_case.read_text() + "\n[aws.endpoint]\nserverless = true\n")
    with pytest.raises(MlopsError, match="A serverless endpoint cannot be in a VPC") as caught:
        scenario.backend(**NETWORK).infra.plan()
    assert "Set serverless = false in [aws.endpoint]" in caught.value.hint
    assert scenario.stacks() == {}
    (finding,) = (check for check in scenario.backend(**NETWORK).run_checks() if check.name == "company")
    assert (finding.state, finding.message) == (State.FAILURE, caught.value.message)


def test_without_templates_the_project_is_told(scenario: Scenario) -> None:
    (scenario.root / "templates" / "storage.yaml").unlink()
    with pytest.raises(MlopsError, match=r"no templates/storage.yaml"):
        scenario.backend().infra.plan()


def rows(scenario: Scenario, count: int) -> Path:
    path = scenario.root / "tiny.csv"
    path.write_text("id,text,long\n" + "".join(f"{n},text number {n},{n % 2}\n" for n in range(count)))
    return path


def put(scenario: Scenario, count: int) -> tuple[Any, bool]:
    backend = scenario.backend()
    return backend.data.download(data_request(backend.deployed.use_case, [str(rows(scenario, count))]), no_report)


def test_data_make_the_storage_stack_alone_and_are_sent_once(scenario: Scenario) -> None:
    dataset, changed = put(scenario, 9)
    assert (dataset.rows, changed) == (9, True)
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE"}
    assert scenario.keys(bucket_of(scenario)) == ["tiny-dev/data/dataset.csv", "tiny-dev/data/dataset.json"]
    backend = scenario.backend()
    path = scenario.root / "tiny.csv"
    second, changed = backend.data.download(data_request(backend.deployed.use_case, [str(path)]), no_report)
    assert (second, changed) == (dataset, False)
    assert scenario.backend().data.dataset() == dataset
    assert not scenario.backend().infra.is_ready_to_run()


def test_other_data_replace_the_first(scenario: Scenario) -> None:
    put(scenario, 9)
    dataset, changed = put(scenario, 12)
    assert (dataset.rows, changed) == (12, True)
    assert scenario.backend().data.dataset() == dataset


def test_files_that_a_job_may_still_read_stay_for_a_week(scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    file = scenario.root / "training" / "usecase.toml"
    file.write_text(re.sub(r"\[data\.columns\]\n(?:\w+ = .*\n)+", "", file.read_text()))
    for name in ("first", "second"):
        (scenario.root / name).mkdir()
        (scenario.root / name / "a.txt").write_text(name)

    def folders(name: str = "") -> set[str]:
        backend = scenario.backend()
        if name:
            backend.data.download(data_request(backend.deployed.use_case, [str(scenario.root / name)]), no_report)
        return {item.key.split("/")[1] for item in backend.deployed.bucket.list_objects("data/files-")}

    (first,) = folders("first")
    both = folders("second")
    assert first in both, "a job of an earlier run may be reading them"
    assert len(both) == 2
    monkeypatch.setattr(replaced_data, "KEPT_SECONDS", -1)
    (scenario.root / "second" / "b.txt").write_text("more")
    third = folders("second") - both
    assert len(third) == 1
    assert folders() == third | (both - {first}), "the first one was replaced long ago"
    assert first in folders("first"), "sent again, and not marked any more"
    assert len([*scenario.backend().deployed.bucket.list_objects("data/replaced/")]) == len(folders()) - 1


def test_data_without_their_metadata_are_no_data(scenario: Scenario) -> None:
    put(scenario, 9)
    scenario.backend().deployed.bucket.put("data/dataset.csv", b"of an upload that was killed before the metadata")
    assert scenario.backend().data.dataset() is None
    dataset, changed = put(scenario, 9)
    assert changed
    assert scenario.backend().data.dataset() == dataset


def test_before_anything_is_made_there_is_no_data(scenario: Scenario) -> None:
    assert scenario.backend().data.dataset() is None
    assert not scenario.backend().infra.is_ready_to_run()


def test_interrupted_it_says_what_continues_and_how_to_return(scenario: Scenario) -> None:
    slow = "Type: AWS::CloudFormation::WaitCondition\n    Properties: {Handle: !Ref Handle, Timeout: '8'}\n"
    handle = "  Handle:\n    Type: AWS::CloudFormation::WaitConditionHandle\n"
    scenario.edit("storage.yaml", "\nResources:\n", f"\nResources:\n{handle}  Wait:\n    {slow}")
    with scenario.cli().start("deploy-infra", "--yes") as process:
        assert process.stdout is not None
        while f"{STORAGE}  CREATE_IN_PROGRESS" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err == (
        "error: Stopped; changes in progress continue on AWS in account 123456789012, region us-east-1, "
        "credentials from env.\nhint: To continue, repeat mlops deploy-infra --yes\n"
    )
    assert scenario.stacks() == {STORAGE: "CREATE_IN_PROGRESS"}
    wait_for(lambda: scenario.stacks() == {STORAGE: "ROLLBACK_COMPLETE"})


MOMENTS = (
    ("CreateChangeSet", 1), ("CreateChangeSet", 2), ("CreateChangeSet", 3), ("DeleteChangeSet", 1),
    ("ExecuteChangeSet", 1), ("ExecuteChangeSet", 2), ("DescribeStackEvents", 3),
    ("PutObject", 1), ("PutObject", 2), ("PutObject", 3),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("call", "number"), MOMENTS)
def test_killed_at_any_moment_the_command_is_repeated_and_completes(scenario: Scenario, call: str, number: int) -> None:
    kill_after(scenario.cli(), call, number, "deploy-infra")
    scenario.backend().infra.deploy()
    assert scenario.stacks() == {STORAGE: "CREATE_COMPLETE", PIPELINE: "CREATE_COMPLETE"}
    repeated = scenario.backend().infra.plan()
    assert actions(repeated) == {Action.KEEP}, repeated


def kill_after(cli: Cli, call: str, number: int, *arguments: str) -> None:
    """Kill the command right after its n-th call of this kind has reached AWS."""
    code = f"""
import os, signal, sys
from botocore.client import BaseClient
real, seen = BaseClient._make_api_call, []
def call(self, operation, parameters):
    answer = real(self, operation, parameters)
    seen.append(operation)
    if seen.count({call!r}) == {number}:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
BaseClient._make_api_call = call
sys.argv = {["mlops", *arguments, *([] if arguments[0] in ("download-data", "run") else ["--yes"])]!r}
from mlops_cli.__main__ import main
main()
"""
    environment = {**os.environ, **cli.environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=cli.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
