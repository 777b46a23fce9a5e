"""Corrected differences between ministack and AWS. A test that fails after an upgrade of ministack names one."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import bucket, reasons, settled, stack, user
from aws_simulator.fixture import Aws
from aws_simulator.services.company import key_policy
from aws_simulator.tests.repairs.plans import carried_out, changes, events, execute, plan

BUCKET = {"Type": "AWS::S3::Bucket"}
GROUP = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "/g", "RetentionInDays": 7}}


def named(name: str, **more: Any) -> dict[str, Any]:
    return {"Resources": {"Bucket": {**BUCKET, "Properties": {"BucketName": name, **more}}}}


def sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_a_bucket_with_a_version_or_a_marker_in_it_is_not_deleted_and_the_stack_says_so(aws: Aws) -> None:
    versioned = named("ours", VersioningConfiguration={"Status": "Enabled"})
    assert carried_out(aws, "s", versioned) == "CREATE_COMPLETE"
    s3, cloudformation = aws.client("s3"), aws.client("cloudformation")
    s3.put_object(Bucket="ours", Key="k", Body=b"x")
    s3.delete_object(Bucket="ours", Key="k")
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_FAILED"
    assert "The bucket you tried to delete is not empty" in reasons(aws, "s")[0]
    object_versions = s3.list_object_versions(Bucket="ours")
    for version in (*object_versions["Versions"], *object_versions["DeleteMarkers"]):
        s3.delete_object(Bucket="ours", Key=version["Key"], VersionId=version["VersionId"])
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="404"):
        s3.head_bucket(Bucket="ours")


def test_a_buckets_lifecycle_and_tags_are_applied_changed_and_taken_away(aws: Aws) -> None:
    rules = [
        {"Id": "old", "Status": "Enabled", "Prefix": "runs/", "ExpirationInDays": "180"},
        {"Id": "versions", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}},
        {"Id": "parts", "Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}},
    ]
    with_rules = named("ours", LifecycleConfiguration={"Rules": rules}, Tags=[{"Key": "a", "Value": "b"}])
    assert carried_out(aws, "s", with_rules) == "CREATE_COMPLETE"
    s3 = aws.client("s3")
    lifecycle_rules = s3.get_bucket_lifecycle_configuration(Bucket="ours")["Rules"]
    assert [(rule["ID"], rule["Filter"]["Prefix"]) for rule in lifecycle_rules] == [
        ("old", "runs/"),
        ("versions", ""),
        ("parts", ""),
    ]
    assert lifecycle_rules[0]["Expiration"] == {"Days": 180}
    tags = {tag["Key"]: tag["Value"] for tag in s3.get_bucket_tagging(Bucket="ours")["TagSet"]}
    assert (tags["a"], tags["aws:cloudformation:stack-name"]) == ("b", "s")
    assert carried_out(aws, "s", named("ours"), create=False) == "UPDATE_COMPLETE"
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="ours")


def test_a_replacement_is_announced_by_the_schema_of_the_type(aws: Aws) -> None:
    template = named("first")
    template["Resources"]["Group"] = GROUP
    assert carried_out(aws, "s", template) == "CREATE_COMPLETE"
    changed = json.loads(json.dumps(template))
    changed["Resources"]["Bucket"]["Properties"]["BucketName"] = "second"
    changed["Resources"]["Group"]["Properties"]["RetentionInDays"] = 14
    change_set = plan(aws, "s", changed, create=False)
    assert changes(change_set) == {"Bucket": ("Modify", "True"), "Group": ("Modify", "False")}
    detail = change_set["Changes"][0]["ResourceChange"]["Details"][0]
    assert detail["Target"] == {"Attribute": "Properties", "Name": "BucketName", "RequiresRecreation": "Always"}
    assert execute(aws, "s", "change") == "UPDATE_COMPLETE"
    names = [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]]
    assert names == ["second"]


CONDITIONAL = {
    "Parameters": {"Which": {"Type": "String"}},
    "Conditions": {"A": {"Fn::Equals": [{"Ref": "Which"}, "a"]}, "B": {"Fn::Equals": [{"Ref": "Which"}, "b"]}},
    "Resources": {
        "One": {**BUCKET, "Condition": "A", "Properties": {"BucketName": "one"}},
        "Two": {**BUCKET, "Condition": "B", "Properties": {"BucketName": "two"}},
    },
}


def test_a_plan_has_only_resources_whose_condition_is_true(aws: Aws) -> None:
    assert changes(plan(aws, "s", CONDITIONAL, Which="a")) == {"One": ("Add", "")}
    assert execute(aws, "s") == "CREATE_COMPLETE"
    change_set = plan(aws, "s", CONDITIONAL, create=False, Which="b")
    assert changes(change_set) == {"One": ("Remove", ""), "Two": ("Add", "")}
    assert execute(aws, "s", "change") == "UPDATE_COMPLETE"
    assert [bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]] == ["two"]


def test_a_bucket_name_of_another_owner_fails_the_plan_and_the_details_are_events(aws: Aws) -> None:
    neighbour = aws.client("s3", aws_access_key_id="999999999999", aws_secret_access_key="test")
    neighbour.create_bucket(Bucket="theirs")
    change_set = plan(aws, "s", named("theirs"))
    assert change_set["Status"] == "FAILED"
    assert "[AWS::EarlyValidation::ResourceExistenceCheck]" in change_set["StatusReason"]
    cloudformation = aws.client("cloudformation")
    for of in (
        {"StackName": "s"},
        {"StackName": "s", "ChangeSetName": "plan"},
        {"ChangeSetName": change_set["ChangeSetId"]},
    ):
        [event] = cloudformation.describe_events(**of, Filters={"FailedEvents": True})["OperationEvents"]
        assert (
            event["ValidationStatusReason"] == "The requested bucket name is not available."
            or "theirs" in event["ValidationStatusReason"]
        )
        assert (event["LogicalResourceId"], event["ValidationName"]) == ("Bucket", "NAME_CONFLICT_VALIDATION")


def test_a_log_group_that_is_there_already_is_a_conflict(aws: Aws) -> None:
    aws.client("logs").create_log_group(logGroupName="/g")
    assert plan(aws, "s", {"Resources": {"Group": GROUP}})["Status"] == "FAILED"
    assert stack(aws, "s2", {"Group": GROUP}) == "ROLLBACK_COMPLETE"
    assert "already exists" in reasons(aws, "s2")[0]
    assert aws.client("logs").describe_log_groups()["logGroups"], "what the stack did not make, it does not remove"


def test_a_stack_in_review_keeps_its_id_and_one_that_was_rolled_back_takes_no_change_set(aws: Aws) -> None:
    first = plan(aws, "s", named("ours"))
    second = plan(aws, "s", named("other"), name="again")
    assert first["StackId"] == second["StackId"]
    [description] = aws.client("cloudformation").describe_stacks(StackName=first["StackId"])["Stacks"]
    assert description["StackStatus"] == "REVIEW_IN_PROGRESS"
    assert execute(aws, "s", "again") == "CREATE_COMPLETE"
    broken = {"Group": {**GROUP, "Properties": {"LogGroupName": {"Fn::Sub": "${AWS::StackName}"}}}}
    aws.client("logs").create_log_group(logGroupName="broken")
    assert stack(aws, "broken", broken) == "ROLLBACK_COMPLETE"
    with pytest.raises(ClientError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        plan(aws, "broken", named("third"))
    with pytest.raises(ClientError, match="AlreadyExistsException"):
        stack(aws, "broken", broken)


def test_events_name_the_first_cause_before_the_cancelled_resources(aws: Aws) -> None:
    aws.client("logs").create_log_group(logGroupName="taken")
    group = {
        **GROUP,
        "Properties": {
            "LogGroupName": {
                "Fn::Sub": "tak${Nothing}",
            }
        },
    }
    template = {
        "Parameters": {"Nothing": {"Type": "String", "Default": "en"}},
        "Resources": {
            "First": BUCKET,
            "Group": {**group, "DependsOn": "First"},
            "Other": {**BUCKET, "DependsOn": "First"},
        },
    }
    aws.client("cloudformation").create_stack(StackName="s", TemplateBody=json.dumps(template))
    assert settled(aws, "s") == "ROLLBACK_COMPLETE"
    stack_events = events(aws, "s")
    assert stack_events[0] == ("s", "CREATE_IN_PROGRESS", "User Initiated")
    initiated = [name for name, _, reason in stack_events if reason == "Resource creation Initiated"]
    assert initiated == ["First"]
    failed = [(name, reason) for name, status, reason in stack_events if status == "CREATE_FAILED"]
    assert failed[0][0] == "Group"
    assert failed[1] == ("Other", "Resource creation cancelled")


def test_iam_looks_at_log_streams(aws: Aws) -> None:
    owner = aws.client("logs")
    for group in ("/ours", "/theirs"):
        owner.create_log_group(logGroupName=group)
    streams = "arn:aws:logs:us-east-1:123456789012:log-group:/ours:log-stream:*"
    actions = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    writer = aws.client("logs", **user(aws, "writer", {"Action": actions, "Resource": streams}))
    writer.create_log_stream(logGroupName="/ours", logStreamName="s")
    event = {"timestamp": int(time.time() * 1000), "message": "m"}
    writer.put_log_events(logGroupName="/ours", logStreamName="s", logEvents=[event])
    assert writer.describe_log_streams(logGroupName="/ours")["logStreams"]
    with pytest.raises(ClientError, match="log-group:/theirs:log-stream:s because"):
        writer.create_log_stream(logGroupName="/theirs", logStreamName="s")
    with pytest.raises(ClientError, match="log-group::log-stream: because"):
        writer.describe_log_groups()
    bare = {"Action": "logs:*", "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/ours"}
    without_streams = aws.client("logs", **user(aws, "bare", bare))
    with pytest.raises(ClientError, match="AccessDenied"):
        without_streams.create_log_stream(logGroupName="/ours", logStreamName="t")


def test_a_copy_of_a_multipart_upload_has_a_checksum_of_the_whole_object(aws: Aws) -> None:
    from boto3.s3.transfer import TransferConfig

    s3, content = bucket(aws, "ours"), b"z" * (11 << 20)
    parts = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    s3.upload_fileobj(io.BytesIO(content), "ours", "big", {"ChecksumAlgorithm": "SHA256"}, Config=parts)
    assert s3.head_object(Bucket="ours", Key="big", ChecksumMode="ENABLED")["ChecksumSHA256"].endswith("-3")
    for arguments in ({"ChecksumAlgorithm": "SHA256"}, {}):
        s3.copy_object(Bucket="ours", Key="copy", CopySource={"Bucket": "ours", "Key": "big"}, **arguments)
        copied = s3.head_object(Bucket="ours", Key="copy", ChecksumMode="ENABLED")
        assert copied["ChecksumSHA256"] == sha256(content)


def test_a_put_answers_with_the_checksum_that_it_has_stored(aws: Aws) -> None:
    answer = bucket(aws, "ours").put_object(Bucket="ours", Key="k", Body=b"x", ChecksumAlgorithm="SHA256")
    assert answer["ChecksumSHA256"] == sha256(b"x")


def test_a_role_that_may_only_write_new_objects_cannot_overwrite(aws: Aws) -> None:
    aws.client("s3").create_bucket(Bucket="ours")
    once = {"Condition": {"Null": {"s3:if-none-match": "false"}}}
    keys = user(aws, "once", {"Action": "s3:PutObject", "Resource": "arn:aws:s3:::ours/*", **once})
    s3 = aws.client("s3", **keys)
    s3.put_object(Bucket="ours", Key="k", Body=b"x", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="ours", Key="k", Body=b"y", IfNoneMatch="*")
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_object(Bucket="ours", Key="k", Body=b"y")


def test_a_bucket_policy_may_demand_a_key_in_each_request(aws: Aws) -> None:
    """A request for a part of an upload has no key; the first request of the upload has."""
    s3, keys = bucket(aws, "demanding"), [aws.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    condition = {"StringNotEquals": {"s3:x-amz-server-side-encryption-aws-kms-key-id": keys[0]}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::demanding/*"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Condition": condition}]}
    s3.put_bucket_policy(Bucket="demanding", Policy=json.dumps(policy))
    client = aws.client("s3", **user(aws, "writer", {"Action": ["s3:*", "kms:*"], "Resource": "*"}))
    named = {"Bucket": "demanding", "Key": "k"}
    for headers in ({}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": keys[1]}):
        for act in (client.put_object, client.create_multipart_upload):
            with pytest.raises(ClientError, match="explicit deny"):
                act(**named, **headers)
    own = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": keys[0]}
    client.put_object(**named, Body=b"whole", **own)
    upload = {**named, "UploadId": client.create_multipart_upload(**named, **own)["UploadId"]}
    part = client.upload_part(**upload, PartNumber=1, Body=b"in parts")
    parts = [{"PartNumber": 1, "ETag": part["ETag"]}]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    assert client.head_object(**named)["SSEKMSKeyId"] == keys[0]


def test_a_log_groups_key_must_allow_cloudwatch_logs_in_its_policy(aws: Aws) -> None:
    kms = aws.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    encrypted = {"Group": {**GROUP, "Properties": {**GROUP["Properties"], "KmsKeyId": key}}}
    assert stack(aws, "refused", encrypted) == "ROLLBACK_COMPLETE"
    assert "is not allowed to be used with Arn" in reasons(aws, "refused")[0]
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=json.dumps(key_policy()))
    assert stack(aws, "allowed", encrypted) == "CREATE_COMPLETE"


@pytest.mark.parametrize("service", ["cloudwatch.amazonaws.com", "events.amazonaws.com"])
def test_a_service_publishes_to_an_encrypted_topic_if_the_policy_of_the_key_names_it(aws: Aws, service: str) -> None:
    may = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    queue = aws.client("sqs").create_queue(
        QueueName="q", Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [may]})}
    )["QueueUrl"]
    allows = {"Effect": "Allow", "Principal": {"Service": service}, "Action": ["kms:GenerateDataKey*", "kms:Decrypt"]}
    for number, statements in enumerate(([], [{**allows, "Resource": "*"}])):
        policy = {**key_policy(), "Statement": [*key_policy()["Statement"], *statements]}
        key = aws.client("kms").create_key(Policy=json.dumps(policy))["KeyMetadata"]["Arn"]
        topic = aws.client("sns").create_topic(Name=f"t{number}", Attributes={"KmsMasterKeyId": key})["TopicArn"]
        aws.client("sns").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint="arn:aws:sqs:us-east-1:123456789012:q", Attributes=RAW
        )
        send(aws, service, topic)
        received = aws.client("sqs").receive_message(QueueUrl=queue).get("Messages", [])
        assert len(received) == number, "it is dropped without a permission"


RAW = {"RawMessageDelivery": "true"}


def send(aws: Aws, service: str, topic: str) -> None:
    """Let the service publish to the topic."""
    if service.startswith("cloudwatch"):
        alarms = aws.client("cloudwatch")
        one = {"Namespace": "n", "MetricName": "m", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
        alarms.put_metric_alarm(
            AlarmName=topic[-2:],
            AlarmActions=[topic],
            Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
            **one,  # type: ignore[arg-type]
        )
        alarms.set_alarm_state(AlarmName=topic[-2:], StateValue="ALARM", StateReason="test")
        return
    events = aws.client("events")
    events.put_rule(Name=topic[-2:], EventPattern=json.dumps({"source": [f"ours.{topic[-2:]}"]}))
    events.put_targets(Rule=topic[-2:], Targets=[{"Id": "1", "Arn": topic}])
    events.put_events(Entries=[{"Source": f"ours.{topic[-2:]}", "DetailType": "d", "Detail": "{}"}])
