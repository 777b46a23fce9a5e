"""A project's part of a bucket, on the simulated S3."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from botocore.exceptions import ResponseStreamingError
from botocore.response import StreamingBody

from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.s3 import PART_BYTES, Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.files.hashing import digest_file

NAME = "somebodys-bucket"


@pytest.fixture
def bucket(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    client = aws.client("s3")
    client.create_bucket(Bucket=NAME)
    client.put_bucket_versioning(Bucket=NAME, VersioningConfiguration={"Status": "Enabled"})
    return Bucket(Account("us-east-1", "").client("s3"), NAME, "mine-dev/")


def test_keys_are_below_the_projects_prefix(bucket: Bucket, aws: Aws) -> None:
    assert bucket.put_json("runs/1/a.json", {"b": 1})
    assert aws.client("s3").get_object(Bucket=NAME, Key="mine-dev/runs/1/a.json")["Body"].read() == b'{\n  "b": 1\n}\n'
    assert bucket.get_json("runs/1/a.json") == {"b": 1}
    assert [item.key for item in bucket.list_objects("runs/")] == ["runs/1/a.json"]
    assert bucket.uri("runs/") == "s3://somebodys-bucket/mine-dev/runs/"
    assert bucket.key_of(bucket.uri("runs/1/a.json")) == "runs/1/a.json"


def test_a_missing_object_is_none(bucket: Bucket) -> None:
    assert [bucket.get("no"), bucket.get_json("no"), bucket.metadata("no")] == [None, None, None]
    assert not bucket.exists("no")


@pytest.mark.parametrize("size", [0, 1000, 2 * PART_BYTES + 1])
def test_a_file_is_sent_once_and_arrives_as_it_is(bucket: Bucket, tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    seen: list[tuple[str, int, int | None, str]] = []
    assert bucket.upload(path, "data/file", lambda *step: seen.append(step))
    assert not bucket.upload(path, "data/file")
    assert all(step[2:] == (size, "B") for step in seen)
    assert not size or seen[-1][1] == size
    bucket.download("data/file", tmp_path / "copy" / "file")
    assert (tmp_path / "copy" / "file").read_bytes() == path.read_bytes()
    metadata = bucket.metadata("data/file")
    assert metadata is not None
    assert metadata.sha256 == digest_file(path)
    assert metadata.version


def test_another_file_under_the_same_key_is_sent(bucket: Bucket, tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in ("a", "b"):
        path.write_text(content)
        assert bucket.upload(path, "file")
    assert bucket.get("file") == b"b"


def test_s3s_own_checksum_of_the_whole_is_the_files(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"model")
    bucket.upload(tmp_path / "file", "file")
    bucket.copy("file", "models/copy", {"run": "1"})
    for key in ("file", "models/copy"):
        metadata = bucket.metadata(key)
        assert metadata is not None
        assert metadata.checksum == digest_file(tmp_path / "file")


def test_an_upload_that_a_killed_command_has_left_is_given_up(bucket: Bucket, aws: Aws, tmp_path: Path) -> None:
    aws.client("s3").create_multipart_upload(Bucket=NAME, Key="mine-dev/data/file")
    (tmp_path / "file").write_text("x")
    bucket.upload(tmp_path / "file", "data/file")
    assert list(bucket.uploads()) == []


def test_deleting_takes_all_versions_and_uploads_below_the_prefix_and_nothing_else(bucket: Bucket, aws: Aws) -> None:
    client = aws.client("s3")
    for key in ("mine-dev/a", "mine-dev/a", "mine-dev/b", "mine-dev2/a", "other"):
        client.put_object(Bucket=NAME, Key=key, Body=b"x")
    client.delete_object(Bucket=NAME, Key="mine-dev/b")
    for key in ("mine-dev/c", "other"):
        client.create_multipart_upload(Bucket=NAME, Key=key)
    bucket.delete("")
    remaining = client.list_object_versions(Bucket=NAME)
    assert [version["Key"] for version in remaining["Versions"]] == ["mine-dev2/a", "other"]
    assert "DeleteMarkers" not in remaining
    assert [upload["Key"] for upload in client.list_multipart_uploads(Bucket=NAME)["Uploads"]] == ["other"]


def test_more_versions_than_one_call_takes_are_deleted(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops_cli.backends.aws.clients.s3.DELETE_AT_ONCE", 3)
    for number in range(7):
        bucket.put(f"many/{number % 2}", b"")
    bucket.delete("many/")
    assert list(bucket.versions()) == []


def test_a_denial_names_permission_and_object(aws: Aws, monkeypatch: pytest.MonkeyPatch, bucket: Bucket) -> None:
    iam = aws.client("iam")
    iam.create_user(UserName="eve")
    key = iam.create_access_key(UserName="eve")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    eve = Bucket(Account("us-east-1", "").client("s3"), NAME, "mine-dev/")
    with pytest.raises(AwsError, match=r"may not s3:PutObject on .*mine-dev/x"):
        eve.put("x", b"")


@pytest.mark.parametrize(("breaks", "arrives"), [(3, True), (4, False)])
def test_an_answer_that_breaks_off_is_asked_for_again(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, breaks: int, arrives: bool
) -> None:
    bucket.put("a", b"whole")
    real, remaining = StreamingBody.read, [breaks]

    def read(body: StreamingBody, amt: int | None = None) -> bytes:
        remaining[0] -= 1
        if remaining[0] >= 0:
            raise ResponseStreamingError(error="connection broken")
        return bytes(real(body, amt))

    monkeypatch.setattr(StreamingBody, "read", read)
    if arrives:
        assert bucket.get("a") == b"whole"
    else:
        with pytest.raises(AwsError, match="cannot be reached"):
            bucket.get("a")


@pytest.mark.parametrize(
    "error", [ResponseStreamingError(error="connection broken"), ConnectionResetError("reset by peer")], ids=repr
)
def test_a_download_that_is_always_interrupted_is_reported_and_leaves_no_file(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    """boto3 raises its own errors here, not botocore's."""
    bucket.put("a", b"whole")

    def read(body: StreamingBody, amt: int | None = None) -> bytes:
        raise error

    monkeypatch.setattr(StreamingBody, "read", read)
    with pytest.raises(AwsError, match="AWS cannot be reached") as caught:
        bucket.download("a", tmp_path / "a")
    assert "then repeat the command" in caught.value.hint
    assert (caught.value.code, list(tmp_path.iterdir())) == (type(error).__name__, [])


def test_a_file_that_s3_refuses_is_reported_with_its_code(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AwsError, match="AWS refused s3:PutObject") as caught:
        bucket.client.upload_file(str(tmp_path / "file"), "nowhere-at-all", "file")
    assert caught.value.code == "NoSuchBucket"
