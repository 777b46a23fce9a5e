"""The parts of ministack that this project needs: the hooks for plug-ins, and its behaviour."""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import bucket, eventually, role, settled, stack, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.repairs.plans import carried_out, changes, plan

BUCKET = {"Resources": {"Bucket": {"Type": "AWS::S3::Bucket"}}}


def test_the_version_of_ministack_is_that_of_the_known_hooks() -> None:
    assert importlib.metadata.version("ministack") == "1.5.33"


HOOKS = """
core.iam_actions: SERVICE_TO_IAM_NAMESPACE extract_resource_arn identity_denial_message
core.iam_evaluator: _conditions_met _gather_role_policies enforce fnmatch_iam resolve_credential
core.responses: get_account_id get_region request_scope
core.router: SERVICE_PATTERNS extract_access_key_id
app: SERVICE_HANDLERS _reset_all_state app
services.cloudformation: _change_sets _stack_events _stacks
services.cloudformation.changesets: _resolve_props_for_diff
services.cloudformation.engine: _evaluate_conditions _extract_deps
services.cloudformation.handlers: _ACTION_HANDLERS _resolve_stack
services.cloudformation.helpers: _error _p
services.cloudformation.provisioners: _CONDITIONALLY_REPLACING_PROPERTIES _REPLACING_PROPERTIES _RESOURCE_HANDLERS
services.cloudformation.provisioners: _STACK_TAG_PROPERTY _physical_name
services.cloudformation.stacks: _add_event _operation_event _runs_on_worker_thread _static_property _validation_errors
services.cloudwatch_logs: _log_groups
services.eventbridge: _invoke_target _put_events
services.iam: _roles
services.s3: _buckets _object_versions
services.stepfunctions: _executions
services.sts: _sessions register_session
"""


def test_every_hook_is_where_it_is_looked_for() -> None:
    script = """
import importlib, sys
for line in sys.argv[1].strip().splitlines():
    module, _, names = line.partition(": ")
    found = importlib.import_module(f"ministack.{module}")
    print(*[f"{module}.{name}" for name in names.split() if not hasattr(found, name)])
"""
    done = subprocess.run([sys.executable, "-c", script, HOOKS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_it_listens_on_loopback_only(aws: Aws) -> None:
    assert urlsplit(aws.url).hostname == "127.0.0.1"


@pytest.mark.parametrize(
    ("key", "secret", "code"),
    [("AKIAAAAAAAAAAAAAAAAA", "x", "InvalidClientTokenId"), ("theirs", "wrong", "SignatureDoesNotMatch")],
)
def test_wrong_credentials_are_refused(aws: Aws, key: str, secret: str, code: str) -> None:
    own = user(aws, "somebody")
    key = own["aws_access_key_id"] if key == "theirs" else key
    with pytest.raises(ClientError, match=code):
        aws.client("sts", aws_access_key_id=key, aws_secret_access_key=secret).get_caller_identity()


def test_expired_credentials_are_refused(aws: Aws) -> None:
    expired = aws.control("expired-credentials")
    with pytest.raises(ClientError, match="ExpiredToken"):
        aws.client("sts", **expired).get_caller_identity()
    with pytest.raises(ClientError, match="ExpiredTokenException"):
        aws.client("codepipeline", **expired).list_pipelines()


def test_a_plan_without_a_change_fails_and_says_so(aws: Aws) -> None:
    assert carried_out(aws, "s", BUCKET) == "CREATE_COMPLETE"
    change_set = plan(aws, "s", BUCKET, create=False, name="again")
    assert change_set["Status"] == "FAILED"
    assert "didn't contain changes" in change_set["StatusReason"]
    with pytest.raises(ClientError, match="No updates are to be performed"):
        aws.client("cloudformation").update_stack(StackName="s", TemplateBody=json.dumps(BUCKET))


def test_a_plan_that_is_given_up_leaves_a_stack_in_review_that_can_be_deleted(aws: Aws) -> None:
    assert changes(plan(aws, "s", BUCKET)) == {"Bucket": ("Add", "")}
    cloudformation = aws.client("cloudformation")
    cloudformation.delete_change_set(StackName="s", ChangeSetName="plan")
    assert cloudformation.describe_stacks(StackName="s")["Stacks"][0]["StackStatus"] == "REVIEW_IN_PROGRESS"
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"


def test_a_protected_stack_is_not_deleted(aws: Aws) -> None:
    assert carried_out(aws, "s", BUCKET) == "CREATE_COMPLETE"
    cloudformation = aws.client("cloudformation")
    cloudformation.update_termination_protection(StackName="s", EnableTerminationProtection=True)
    with pytest.raises(ClientError, match="TerminationProtection is enabled"):
        cloudformation.delete_stack(StackName="s")


def test_a_deleted_stack_is_found_by_its_id_only(aws: Aws) -> None:
    assert carried_out(aws, "s", BUCKET) == "CREATE_COMPLETE"
    cloudformation = aws.client("cloudformation")
    identity = cloudformation.describe_stacks(StackName="s")["Stacks"][0]["StackId"]
    cloudformation.delete_stack(StackName="s")
    eventually(lambda: settled(aws, identity) == "DELETE_COMPLETE")
    assert cloudformation.describe_stacks(StackName=identity)["Stacks"][0]["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="does not exist"):
        cloudformation.describe_stacks(StackName="s")
    assert (
        cloudformation.describe_stack_events(StackName=identity)["StackEvents"][0]["ResourceStatus"]
        == "DELETE_COMPLETE"
    )


def test_an_update_that_fails_rolls_back(aws: Aws) -> None:
    assert carried_out(aws, "s", BUCKET) == "CREATE_COMPLETE"
    properties = {"RepositoryName": "r", "Code": {"S3": {"Bucket": "nowhere", "Key": "k"}}}
    broken = {
        "Resources": {**BUCKET["Resources"], "R": {"Type": "AWS::CodeCommit::Repository", "Properties": properties}}
    }
    assert carried_out(aws, "s", broken, create=False) == "UPDATE_ROLLBACK_COMPLETE"


def test_a_stack_that_is_busy_takes_no_second_operation(aws: Aws) -> None:
    aws.control("slow-resource-type", name="AWS::CodeCommit::Repository", seconds=1.5)
    template = json.dumps(
        {"Resources": {"R": {"Type": "AWS::CodeCommit::Repository", "Properties": {"RepositoryName": "r"}}}}
    )
    cloudformation = aws.client("cloudformation")
    cloudformation.create_stack(StackName="s", TemplateBody=template)
    try:
        with pytest.raises(ClientError, match="CREATE_IN_PROGRESS state and can"):
            cloudformation.update_stack(StackName="s", TemplateBody=json.dumps(BUCKET))
    finally:
        aws.control("slow-resource-type", name="AWS::CodeCommit::Repository", seconds=0)
    assert settled(aws, "s") == "CREATE_COMPLETE"


def test_iam_looks_at_the_exact_stack(aws: Aws) -> None:
    ours = {"Action": "cloudformation:*", "Resource": "arn:aws:cloudformation:us-east-1:123456789012:stack/ours/*"}
    limited = aws.client("cloudformation", **user(aws, "limited", ours, {"Action": "s3:*", "Resource": "*"}))
    limited.create_stack(StackName="ours", TemplateBody=json.dumps(BUCKET))
    assert settled(aws, "ours") == "CREATE_COMPLETE"
    limited.describe_stack_events(StackName="ours")
    with pytest.raises(ClientError, match=r"AccessDenied.*cloudformation:CreateStack"):
        limited.create_stack(StackName="theirs", TemplateBody=json.dumps(BUCKET))


def test_iam_looks_at_the_exact_object_and_prefix(aws: Aws) -> None:
    bucket(aws, "data").put_object(Bucket="data", Key="a/b", Body=b"x")
    condition = {"StringLike": {"s3:prefix": "a/*"}}
    s3 = aws.client(
        "s3",
        **user(
            aws,
            "lister",
            {"Action": "s3:ListBucket", "Resource": "arn:aws:s3:::data", "Condition": condition},
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/a/*"},
        ),
    )
    assert s3.list_objects_v2(Bucket="data", Prefix="a/b")["KeyCount"] == 1
    assert s3.get_object(Bucket="data", Key="a/b")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket="data", Prefix="c/")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="data", Key="a/b", Body=b"y")


def test_a_policy_of_a_bucket_can_demand_tls_and_the_simulator_stands_for_it(aws: Aws) -> None:
    s3 = bucket(aws, "secure")
    s3.put_object(Bucket="secure", Key="k", Body=b"x")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": ["arn:aws:s3:::secure", "arn:aws:s3:::secure/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    s3.put_bucket_policy(Bucket="secure", Policy=json.dumps({"Version": "2012-10-17", "Statement": [deny]}))
    reader = aws.client("s3", **user(aws, "reader", {"Action": "s3:*", "Resource": "*"}))
    assert reader.get_object(Bucket="secure", Key="k")["Body"].read() == b"x"
    reader.meta.events.register(
        "before-send.s3", lambda request, **_: request.headers.__setitem__("x-forwarded-proto", "http")
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_object(Bucket="secure", Key="k")


def test_uploads_in_parts_are_listed_and_aborted_and_versions_deleted_in_bulk(aws: Aws) -> None:
    s3 = bucket(aws, "data")
    upload = s3.create_multipart_upload(Bucket="data", Key="k")["UploadId"]
    s3.upload_part(Bucket="data", Key="k", PartNumber=1, UploadId=upload, Body=b"x")
    assert [upload["UploadId"] for upload in s3.list_multipart_uploads(Bucket="data", Prefix="k")["Uploads"]] == [
        upload
    ]
    s3.abort_multipart_upload(Bucket="data", Key="k", UploadId=upload)
    assert not s3.list_multipart_uploads(Bucket="data").get("Uploads")
    for number in range(5):
        s3.put_object(Bucket="data", Key=f"p/{number % 2}", Body=b"x")
    s3.delete_object(Bucket="data", Key="p/0")
    pages = s3.get_paginator("list_object_versions").paginate(
        Bucket="data", Prefix="p/", PaginationConfig={"PageSize": 2}
    )
    versions = [version for page in pages for version in (*page.get("Versions", []), *page.get("DeleteMarkers", []))]
    assert len(versions) == 6
    objects = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
    assert not s3.delete_objects(Bucket="data", Delete={"Objects": objects, "Quiet": True}).get("Errors")
    s3.delete_bucket(Bucket="data")


def test_a_bucket_of_another_account_is_forbidden_and_its_name_taken(aws: Aws) -> None:
    aws.client("s3", aws_access_key_id="999999999999", aws_secret_access_key="test").create_bucket(Bucket="theirs")
    with pytest.raises(ClientError, match="403"):
        aws.client("s3").head_bucket(Bucket="theirs")
    with pytest.raises(ClientError, match="BucketAlreadyExists"):
        aws.client("s3").create_bucket(Bucket="theirs")


def test_logs_are_read_in_order_page_by_page_and_from_an_end(aws: Aws) -> None:
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    start = int(time.time() * 1000)
    lines = [{"timestamp": start + number, "message": f"line {number}"} for number in range(30)]
    logs.put_log_events(logGroupName="/g", logStreamName="s", logEvents=lines)
    names = {"logGroupName": "/g", "logStreamName": "s"}
    first = logs.get_log_events(**names, startFromHead=True, limit=20)
    second = logs.get_log_events(**names, startFromHead=True, limit=20, nextToken=first["nextForwardToken"])
    third = logs.get_log_events(**names, startFromHead=True, limit=20, nextToken=second["nextForwardToken"])
    messages = [event["message"] for page in (first, second, third) for event in page["events"]]
    assert messages == [line["message"] for line in lines]
    assert third["nextForwardToken"] == second["nextForwardToken"], "the end is where the token stays"
    assert [event["message"] for event in logs.get_log_events(**names, limit=2)["events"]] == ["line 28", "line 29"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        logs.get_log_events(logGroupName="/g", logStreamName="other")
    logs.delete_log_group(logGroupName="/g")
    assert not logs.describe_log_groups(logGroupNamePrefix="/g")["logGroups"]


def test_a_stack_of_the_pipelines_own_kinds_comes_and_goes(aws: Aws) -> None:
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Mail": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": {"Ref": "Topic"}, "Protocol": "email", "Endpoint": "a@example.com"},
        },
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 7}},
    }
    assert stack(aws, "s", resources, Topic={"Ref": "Topic"}) == "CREATE_COMPLETE"
    subscribed = aws.client("sns").list_subscriptions()["Subscriptions"]
    assert [subscription["Endpoint"] for subscription in subscribed] == ["a@example.com"]
    aws.client("cloudformation").delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    assert aws.client("sns").list_topics()["Topics"] == []
    assert aws.client("logs").describe_log_groups()["logGroups"] == []


def test_a_reset_empties_the_account(aws: Aws) -> None:
    bucket(aws, "data")
    role(aws, "r", "codebuild.amazonaws.com")
    aws.client("codecommit").create_repository(repositoryName="code")
    aws.reset()
    assert aws.client("s3").list_buckets()["Buckets"] == []
    assert aws.client("iam").list_roles()["Roles"] == []
    assert aws.client("codecommit").list_repositories()["repositories"] == []


def test_a_control_that_is_not_there_names_those_that_are(aws: Aws) -> None:
    address = urlsplit(aws.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.request("POST", "/_simulator/nothing", "{}")
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"denials" in answer.read()
    connection.close()
