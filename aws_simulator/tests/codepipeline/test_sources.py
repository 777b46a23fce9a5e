"""Sources: their revisions, permissions and failures."""

from __future__ import annotations

import json

import pytest

from aws_simulator.accounts import grant, zipped
from aws_simulator.fixture import Aws
from aws_simulator.tests.codepipeline.lines import BUCKET, SOURCE, Line, action, denied, gate, prepared, source

PIPELINE = "arn:aws:iam::123456789012:role/line"


@pytest.mark.parametrize(
    ("missing", "resource"),
    [
        ("s3:GetBucketVersioning", f"arn:aws:s3:::{BUCKET}"),
        ("s3:GetObject", f"arn:aws:s3:::{BUCKET}/source.zip"),
        ("s3:PutObject", None),
    ],
)
def test_a_source_needs_its_permissions(aws: Aws, missing: str, resource: str | None) -> None:
    prepared(aws)
    needed = {"s3:GetBucketVersioning", "s3:GetObject", "s3:GetObjectVersionTagging", "s3:PutObject"}
    grant(aws, "line", {"Action": sorted(needed - {missing}), "Resource": "*"})
    line = Line(aws, {"Source": [source()], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert line.failure(line.first)["code"] == "PermissionError"
    [(name, where)] = denied(aws, "line")
    assert name == missing
    assert resource in (None, where)


def test_an_object_is_taken_in_the_version_that_was_asked_for(aws: Aws) -> None:
    s3 = prepared(aws)
    old = s3.head_object(Bucket=BUCKET, Key="source.zip")["VersionId"]
    s3.put_object(Bucket=BUCKET, Key="source.zip", Body=zipped({"README.md": "newer"}))
    line = Line(aws, {"Source": [source()], "next": [gate()]})
    revision = {"actionName": "source", "revisionType": "S3_OBJECT_VERSION_ID", "revisionValue": old}
    line.passes("next", line.first)
    second = line.start(sourceRevisions=[revision])
    line.token("next", second)
    facts = line.client.get_pipeline_execution(pipelineName="line", pipelineExecutionId=second)["pipelineExecution"]
    assert facts["artifactRevisions"][0]["revisionId"] == old
    with pytest.raises(line.client.exceptions.ValidationException, match="does not fit"):
        line.start(sourceRevisions=[{**revision, "revisionType": "COMMIT_ID"}])


def test_a_source_that_is_not_there_fails(aws: Aws) -> None:
    prepared(aws)
    missing = action("source", "Source/S3", {**SOURCE, "S3ObjectKey": "nothing.zip"}, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [missing], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert "nothing.zip" in line.failure(line.first)["message"]


def test_the_bucket_must_be_versioned(aws: Aws) -> None:
    prepared(aws)
    aws.client("s3").create_bucket(Bucket="plain")
    aws.client("s3").put_object(Bucket="plain", Key="source.zip", Body=b"")
    plain = action("source", "Source/S3", {**SOURCE, "S3Bucket": "plain"}, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [plain], "next": [gate()]})
    assert line.ended(line.first) == "Failed"
    assert "not versioned" in line.failure(line.first)["message"]


def test_codecommit_gives_the_tip_or_the_commit_that_was_asked_for(aws: Aws) -> None:
    prepared(aws)
    repository = aws.client("codecommit")
    repository.create_repository(repositoryName="code")
    commit = {"repositoryName": "code", "branchName": "main"}
    put = [{"filePath": "a.txt", "fileContent": b"1"}]
    first = repository.create_commit(**commit, putFiles=put, commitMessage="first")["commitId"]
    put = [{"filePath": "a.txt", "fileContent": b"2"}]
    second = repository.create_commit(**commit, putFiles=put, parentCommitId=first)["commitId"]
    configuration = {"RepositoryName": "code", "BranchName": "main", "PollForSourceChanges": "false"}
    grant(
        aws,
        "line",
        {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/line/*"},
        {
            "Action": [
                f"codecommit:{action}"
                for action in ("GetBranch", "GetCommit", "UploadArchive", "GetUploadArchiveStatus")
            ],
            "Resource": "arn:aws:codecommit:us-east-1:123456789012:code",
        },
    )
    from_git = action("source", "Source/CodeCommit", configuration, outputs=["SourceOutput"])
    line = Line(aws, {"Source": [from_git], "next": [gate()]})
    line.passes("next", line.first)
    assert line.ended(line.first) == "Succeeded"
    execution = line.start(
        sourceRevisions=[{"actionName": "source", "revisionType": "COMMIT_ID", "revisionValue": first}]
    )
    line.token("next", execution)
    summaries = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"]
    assert [summary["sourceRevisions"][0]["revisionId"] for summary in summaries] == [first, second]
    assert summaries[0]["sourceRevisions"][0]["revisionSummary"] == "first"
    assert aws.denials() == []
    assert aws.unused_permissions() == []


def test_a_connection_gives_the_repository_behind_it(aws: Aws) -> None:
    prepared(aws)
    arn = "arn:aws:codestar-connections:us-east-1:123456789012:connection/abc"
    configuration = {"ConnectionArn": arn, "FullRepositoryId": "me/code", "BranchName": "main"}
    remote = action("source", "Source/CodeStarSourceConnection", configuration, outputs=["SourceOutput"])
    commit = aws.control("github-push", repository="me/code", files={"a.txt": "1"})
    line = Line(aws, {"Source": [remote], "next": [gate()]})
    line.passes("next", line.first)
    summary = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0]
    assert summary["sourceRevisions"][0]["revisionId"] == commit
    aws.control("github-push", repository="me/code", files={"a.txt": "2"})
    newest = line.client.list_pipeline_executions(pipelineName="line")["pipelineExecutionSummaries"][0]
    assert newest["trigger"]["triggerType"] == "WebhookV2"
    grant(aws, "line", {"Action": "s3:*", "Resource": "*"})
    third = line.start()
    line.passes("next", newest["pipelineExecutionId"])
    assert line.ended(third) == "Failed"
    assert denied(aws, "line") == {("codestar-connections:UseConnection", arn)}


def test_an_action_can_have_a_role_of_its_own(aws: Aws) -> None:
    prepared(aws)
    iam = aws.client("iam")
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": PIPELINE}, "Action": "sts:AssumeRole"}]}
    own = iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    grant(aws, "own", {"Action": "s3:*", "Resource": "*"})
    grant(aws, "line", {"Action": "sts:AssumeRole", "Resource": own})
    line = Line(aws, {"Source": [source(roleArn=own)], "next": [gate()]})
    line.token("next", line.first)
    assert {permission["role"] for permission in aws.permissions() if permission["action"].startswith("s3:")} == {"own"}
