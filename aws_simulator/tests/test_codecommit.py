"""Commits, trees and differences with CodeCommit's errors; the resource's first commit; events."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import bucket, eventually, reasons, role, settled, stack, zipped
from aws_simulator.fixture import Aws

NAME = "project"


@pytest.fixture
def codecommit(aws: Aws) -> Any:
    client = aws.client("codecommit")
    client.create_repository(repositoryName=NAME, tags={"a": "b"})
    return client


def commit(client: Any, files: dict[str, str], parent: str = "", **more: Any) -> dict[str, Any]:
    put = [{"filePath": path, "fileContent": text.encode()} for path, text in files.items()]
    arguments = {"repositoryName": NAME, "branchName": "main", **({"putFiles": put} if put else {}), **more}
    return dict(client.create_commit(**arguments, **({"parentCommitId": parent} if parent else {})))


def test_commits_are_read_back_as_trees_files_and_differences(codecommit: Any) -> None:
    first = commit(codecommit, {"a.txt": "one", "dir/b.txt": "two"}, authorName="Ann", email="a@b", commitMessage="1st")
    assert [file["absolutePath"] for file in first["filesAdded"]] == ["a.txt", "dir/b.txt"]
    changed = commit(codecommit, {"a.txt": "new"}, first["commitId"], deleteFiles=[{"filePath": "dir/b.txt"}])
    assert codecommit.get_branch(repositoryName=NAME, branchName="main")["branch"]["commitId"] == changed["commitId"]

    facts = codecommit.get_commit(repositoryName=NAME, commitId=first["commitId"])["commit"]
    assert (facts["message"].strip(), facts["committer"]["name"], facts["parents"]) == ("1st", "Ann", [])
    folder = codecommit.get_folder(repositoryName=NAME, folderPath="", commitSpecifier=first["commitId"])
    assert [file["absolutePath"] for file in folder["files"]] == ["a.txt"]
    assert [sub_folder["absolutePath"] for sub_folder in folder["subFolders"]] == ["dir"]
    inner = codecommit.get_folder(repositoryName=NAME, folderPath="dir", commitSpecifier=first["commitId"])
    assert [(file["absolutePath"], file["relativePath"]) for file in inner["files"]] == [("dir/b.txt", "b.txt")]
    assert codecommit.get_file(repositoryName=NAME, filePath="a.txt")["fileContent"] == b"new"
    differences = codecommit.get_differences(
        repositoryName=NAME, beforeCommitSpecifier=first["commitId"], afterCommitSpecifier="main"
    )["differences"]
    assert sorted(difference["changeType"] for difference in differences) == ["D", "M"]


def test_a_branch_made_from_a_commit_moves_on_its_own(codecommit: Any) -> None:
    first = commit(codecommit, {"a": "1"})
    codecommit.create_branch(repositoryName=NAME, branchName="mlops-run", commitId=first["commitId"])
    moved = codecommit.create_commit(
        repositoryName=NAME,
        branchName="mlops-run",
        parentCommitId=first["commitId"],
        putFiles=[{"filePath": "a", "fileContent": b"2"}],
    )
    branches = {
        name: codecommit.get_branch(repositoryName=NAME, branchName=name)["branch"]["commitId"]
        for name in codecommit.list_branches(repositoryName=NAME)["branches"]
    }
    assert branches == {"main": first["commitId"], "mlops-run": moved["commitId"]}


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("ParentCommitIdRequiredException", {"putFiles": [{"filePath": "b", "fileContent": b"1"}]}),
        ("ParentCommitDoesNotExistException", {"parentCommitId": "0" * 40, "deleteFiles": [{"filePath": "a"}]}),
        ("NoChangeException", {"parentCommitId": "tip", "putFiles": [{"filePath": "a", "fileContent": b"1"}]}),
        ("FileEntryRequiredException", {"parentCommitId": "tip"}),
        ("FileDoesNotExistException", {"parentCommitId": "tip", "deleteFiles": [{"filePath": "z"}]}),
        ("InvalidPathException", {"parentCommitId": "tip", "putFiles": [{"filePath": "../z", "fileContent": b"1"}]}),
        (
            "SamePathRequestException",
            {
                "parentCommitId": "tip",
                "putFiles": [{"filePath": "a", "fileContent": b"2"}],
                "deleteFiles": [{"filePath": "a"}],
            },
        ),
        (
            "MaximumFileEntriesExceededException",
            {"parentCommitId": "tip", "putFiles": [{"filePath": f"f{n}", "fileContent": b"1"} for n in range(101)]},
        ),
        ("BranchDoesNotExistException", {"branchName": "no", "putFiles": [{"filePath": "b", "fileContent": b"1"}]}),
    ],
)
def test_a_commit_that_codecommit_refuses(codecommit: Any, code: str, arguments: dict[str, Any]) -> None:
    tip = commit(codecommit, {"a": "1"})["commitId"]
    request = {"repositoryName": NAME, "branchName": "main", **arguments}
    if request.get("parentCommitId") == "tip":
        request["parentCommitId"] = tip
    with pytest.raises(ClientError, match=code):
        codecommit.create_commit(**request)
    assert codecommit.get_branch(repositoryName=NAME, branchName="main")["branch"]["commitId"] == tip


def test_an_outdated_parent_is_refused(codecommit: Any) -> None:
    first = commit(codecommit, {"a": "1"})["commitId"]
    commit(codecommit, {"a": "2"}, first)
    with pytest.raises(ClientError, match="ParentCommitIdOutdatedException"):
        commit(codecommit, {"a": "3"}, first)


def repository(**code: Any) -> dict[str, Any]:
    properties = {
        "RepositoryName": "made",
        "Code": {"BranchName": "main", "S3": {"Bucket": "code", "Key": "k"}, **code},
    }
    return {"R": {"Type": "AWS::CodeCommit::Repository", "Properties": properties}}


def test_a_stack_creates_a_repository_with_a_zip_as_first_commit_and_deletes_it(aws: Aws) -> None:
    bucket(aws, "code").put_object(Bucket="code", Key="k", Body=zipped({"README.md": "hello", "x/y": "z"}))
    assert stack(aws, "s", repository(), Arn={"Fn::GetAtt": ["R", "Arn"]}) == "CREATE_COMPLETE"
    client = aws.client("codecommit")
    assert client.get_file(repositoryName="made", filePath="README.md")["fileContent"] == b"hello"
    tags = client.list_tags_for_resource(resourceArn="arn:aws:codecommit:us-east-1:123456789012:made")["tags"]
    assert tags["aws:cloudformation:stack-name"] == "s"
    aws.client("cloudformation").delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    with pytest.raises(ClientError, match="RepositoryDoesNotExistException"):
        client.get_repository(repositoryName="made")


def test_a_zip_of_more_than_20_mb_makes_no_repository(aws: Aws) -> None:
    code = zipped({f"{name}.txt": "x" * 5_300_000 for name in "abcd"})
    assert len(code) > 20 << 20
    bucket(aws, "code").put_object(Bucket="code", Key="k", Body=code)
    assert stack(aws, "s", repository()) == "ROLLBACK_COMPLETE"
    assert "Code archive supplied cannot be more than 20 MB compressed" in reasons(aws, "s")[0]


def test_a_stack_acts_under_its_role(aws: Aws) -> None:
    bucket(aws, "code").put_object(Bucket="code", Key="k", Body=zipped({"a": "b"}))
    arn = role(aws, "deployer", "cloudformation.amazonaws.com", {"Action": "codecommit:*", "Resource": "*"})
    assert stack(aws, "s", repository(), role=arn) == "ROLLBACK_COMPLETE"
    assert "AccessDenied" in reasons(aws, "s")[0]
    denied = {"role": "deployer", "action": "s3:GetObject", "resource": "arn:aws:s3:::code/k", "allowed": False}
    assert denied.items() <= aws.denials()[0].items()
    with pytest.raises(ClientError, match="RepositoryDoesNotExistException"):
        aws.client("codecommit").get_repository(repositoryName="made")


def test_eventbridge_hears_of_a_commit(aws: Aws, codecommit: Any) -> None:
    queue = aws.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    events = aws.client("events")
    events.put_rule(
        Name="on-commit",
        EventPattern='{"source": ["aws.codecommit"], "detail": {"referenceName": ["main"]}}',
    )
    events.put_targets(Rule="on-commit", Targets=[{"Id": "q", "Arn": "arn:aws:sqs:us-east-1:123456789012:q"}])
    created = commit(codecommit, {"a": "1"})
    codecommit.create_branch(repositoryName=NAME, branchName="other", commitId=created["commitId"])
    sqs = aws.client("sqs")
    message = eventually(lambda: sqs.receive_message(QueueUrl=queue).get("Messages"))[0]["Body"]
    assert created["commitId"] in message
    assert '"referenceCreated"' in message
    assert not sqs.receive_message(QueueUrl=queue).get("Messages")
