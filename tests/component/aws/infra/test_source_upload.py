"""The upload of the project's files to the pipeline: through CodeCommit's API, and as a zip in the bucket."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.account import Account, Client
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.infra.source import upload as source_upload
from mlops_cli.backends.aws.infra.source.bundle import SourceBundle
from mlops_cli.errors import MlopsError

REPOSITORY = "tiny-dev"


@pytest.fixture
def account(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Account:
    for name, value in aws.environment.items():
        monkeypatch.setenv(name, value)
    return Account("us-east-1", "")


@pytest.fixture
def codecommit(account: Account) -> Client:
    client = account.client("codecommit")
    client.create_repository(repositoryName=REPOSITORY)
    return client


def parcel(root: Path, files: dict[str, str | bytes], executable: tuple[str, ...] = ()) -> SourceBundle:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (root / name).chmod(0o755 if name in executable else 0o644)
    return SourceBundle(root, tuple(sorted(files)), {})


def tree(client: Client, commit: str) -> dict[str, tuple[str, str]]:
    """Return every file of a commit with its git blob and mode."""
    differences = client.pages("get_differences", "differences", repositoryName=REPOSITORY, afterCommitSpecifier=commit)
    return {
        blob["path"]: (blob["blobId"], blob["mode"]) for blob in (difference["afterBlob"] for difference in differences)
    }


def blob(content: bytes) -> str:
    """Return git's own name for a content."""
    return (
        subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


def commits(client: Client, tip: str) -> int:
    count = 0
    while tip:
        count += 1
        parents = client.get_commit(repositoryName=REPOSITORY, commitId=tip)["commit"]["parents"]
        tip = parents[0] if parents else ""
    return count


def test_into_an_empty_repository(codecommit: Client, tmp_path: Path) -> None:
    files = {"a.txt": "a", "training/run.sh": "#!/bin/sh\n", "training/__init__.py": ""}
    tip = source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path, files, ("training/run.sh",)))
    assert tree(codecommit, tip) == {
        "a.txt": (blob(b"a"), "100644"),
        "training/run.sh": (blob(b"#!/bin/sh\n"), "100755"),
        "training/__init__.py": (blob(b"\n"), "100644"),
    }


def test_a_zip_that_is_too_large_for_a_new_repository_is_refused_with_the_largest_files(tmp_path: Path) -> None:
    big = {f"training/{name}.bin": os.urandom((5 << 20) + number) for number, name in enumerate("abcd")}
    fitting = parcel(tmp_path, {"a.txt": "0" * (5 << 20), "b.txt": "1"})
    source_upload.check_first_commit(fitting)
    with pytest.raises(MlopsError, match=r"21 MB as a zip.*at most 20 MB.*training/d.bin, training/c.bin") as caught:
        source_upload.check_first_commit(parcel(tmp_path, big))
    assert "--source s3" in caught.value.hint
    with pytest.raises(MlopsError, match=r"no file above 6 MB"):
        source_upload.check_first_commit(parcel(tmp_path, {"a.bin": b"0" * (7 << 20)}))


def test_the_branch_of_people_stays_as_it_is(codecommit: Client, tmp_path: Path) -> None:
    first = codecommit.create_commit(
        repositoryName=REPOSITORY, branchName="main", putFiles=[{"filePath": "a.txt", "fileContent": b"theirs"}]
    )["commitId"]
    tip = source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path, {"a.txt": "ours"}))
    assert tree(codecommit, tip) == {"a.txt": (blob(b"ours"), "100644")}
    assert codecommit.get_branch(repositoryName=REPOSITORY, branchName="main")["branch"]["commitId"] == first
    assert (
        codecommit.get_branch(repositoryName=REPOSITORY, branchName=source_upload.BRANCH)["branch"]["commitId"] == tip
    )


def test_only_changed_files_are_sent(codecommit: Client, tmp_path: Path) -> None:
    before = parcel(tmp_path / "1", {"same.txt": "s", "changed.txt": "1", "gone.txt": "g", "mode.sh": "m", "d/e": "x"})
    first = source_upload.commit(codecommit, REPOSITORY, before)
    assert source_upload.commit(codecommit, REPOSITORY, before) == first
    after = parcel(tmp_path / "2", {"same.txt": "s", "changed.txt": "2", "mode.sh": "m", "new.txt": "n"}, ("mode.sh",))
    second = source_upload.commit(codecommit, REPOSITORY, after)
    assert tree(codecommit, second) == {
        "same.txt": (blob(b"s"), "100644"),
        "changed.txt": (blob(b"2"), "100644"),
        "mode.sh": (blob(b"m"), "100755"),
        "new.txt": (blob(b"n"), "100644"),
    }


def test_a_folder_may_take_a_files_name(codecommit: Client, tmp_path: Path) -> None:
    source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path / "1", {"model": "a file"}))
    tip = source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path / "2", {"model/part.txt": "p", "x": "x"}))
    assert set(tree(codecommit, tip)) == {"model/part.txt", "x"}


def test_more_than_one_commit_takes_goes_in_several(codecommit: Client, tmp_path: Path) -> None:
    large = {f"large{number}.bin": os.urandom(3 << 20) for number in range(3)}
    files = {f"many/{number:03}.txt": str(number) for number in range(230)}
    tip = source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path, {**large, **files}))
    assert set(tree(codecommit, tip)) == {*large, *files}
    assert commits(codecommit, tip) == 4


def test_a_file_above_codecommits_limit_is_an_error_before_the_upload(codecommit: Client, tmp_path: Path) -> None:
    with pytest.raises(MlopsError, match=r"no file above 6 MB .*: huge.bin") as caught:
        source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path, {"huge.bin": bytes(7 << 20)}))
    assert "--source s3" in caught.value.hint


class LosesAnAnswer:
    """A client that sends the first commit and loses the response, so that botocore repeats the request."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def create_commit(self, **parameters: Any) -> Any:
        answer = self._client.create_commit(**parameters)
        if self._lost:
            return answer
        self._lost = True
        return self._client.create_commit(**parameters)


def test_a_lost_answer_makes_no_second_commit(codecommit: Client, tmp_path: Path) -> None:
    source_upload.commit(codecommit, REPOSITORY, parcel(tmp_path, {"a": "1"}))
    changed = parcel(tmp_path, {"a": "2"})
    lossy: Any = LosesAnAnswer(codecommit)
    tip = source_upload.commit(lossy, REPOSITORY, changed)
    assert tree(codecommit, tip) == {"a": (blob(b"2"), "100644")}
    assert commits(codecommit, tip) == 2


def test_a_missing_repository_is_reported(codecommit: Client, tmp_path: Path) -> None:
    with pytest.raises(AwsError, match="codecommit:"):
        source_upload.commit(codecommit, "nowhere", parcel(tmp_path, {"a": "1"}))


@pytest.fixture
def bucket(account: Account) -> Bucket:
    client = account.client("s3")
    client.create_bucket(Bucket="b-1")
    return Bucket(client, "b-1", "tiny-dev/")


def test_a_zip_is_sent_once_and_known_by_its_version(bucket: Bucket, tmp_path: Path) -> None:
    bucket.client.put_bucket_versioning(Bucket="b-1", VersioningConfiguration={"Status": "Enabled"})
    first = source_upload.upload(bucket, parcel(tmp_path, {"a": "1"}))
    assert source_upload.upload(bucket, parcel(tmp_path, {"a": "1"})) == first
    assert source_upload.upload(bucket, parcel(tmp_path, {"a": "2"})) != first


def test_a_bucket_without_versions_is_refused(bucket: Bucket, tmp_path: Path) -> None:
    with pytest.raises(MlopsError, match="has no versioning") as caught:
        source_upload.upload(bucket, parcel(tmp_path, {"a": "1"}))
    assert "put-bucket-versioning --bucket b-1" in caught.value.hint
