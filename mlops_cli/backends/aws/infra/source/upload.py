"""Send the project's present state to the pipeline: as a new commit, as an upload, or by naming a pushed commit."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.codepipeline import Revision
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.backends.aws.infra.source.bundle import SourceBundle, bundle_source
from mlops_cli.backends.aws.infra.source.git_files import pushed_head
from mlops_cli.core.progress import Report, no_report
from mlops_cli.errors import MlopsError
from mlops_cli.project.paths import Project

KEY = "source/source.zip"
BRANCH = "mlops-run"  # people push to another branch: commits to this one start the pipeline
# CodeCommit's limits for one commit through its API, minus the overhead of the encoding.
ENTRIES = 100
ENTRY_BYTES = 6 << 20
COMMIT_BYTES = 6 << 20
# CloudFormation's limit for the zip with a new repository's first commit.
ARCHIVE_BYTES = 20 << 20
OTHER_SOURCE = "Keep it out of git, or choose another source: mlops deploy-infra --source s3"
ATTEMPTS = 5


def upload_source(kind: str, project: Project, bucket: Bucket, codecommit: Client, repository: str) -> Revision:
    """Send the project to a source of type ``kind``. Return the revision with which the execution starts."""
    if kind == "connection":
        return Revision("COMMIT_ID", pushed_head(project.root))
    bundle = bundle_source(project)
    if kind == "codecommit":
        return Revision("COMMIT_ID", commit(codecommit, repository, bundle))
    return Revision("S3_OBJECT_VERSION_ID", upload(bucket, bundle))


def upload(bucket: Bucket, bundle: SourceBundle, report: Report = no_report) -> str:
    """Upload the project as a zip, unless the same zip exists. Return the object's version."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.zip"
        bundle.write_zip(path)
        bucket.upload(path, KEY, report)
    metadata = bucket.metadata(KEY)
    if metadata is None or not metadata.version:
        raise MlopsError(
            f"The bucket {bucket.name} has no versioning, but a run must start from exactly the uploaded source.",
            f"Enable versioning: aws s3api put-bucket-versioning --bucket {bucket.name} "
            "--versioning-configuration Status=Enabled",
        )
    return metadata.version


def commit(client: Client, repository: str, bundle: SourceBundle) -> str:
    """Commit the project's state to the branch, in several commits if needed. Return the last commit's id."""
    _check_sizes(bundle)
    for _ in range(ATTEMPTS):
        tip = _branch_head(client, repository)
        batches = list(_batches(bundle, _tree(client, repository, tip) if tip else {}))
        if not batches and tip:
            return tip
        try:
            return _commit_all(client, repository, tip, batches)
        except AwsError as error:
            # Another command commits at the same time, or the response to our own commit was lost: read again.
            if error.code not in ("ParentCommitIdOutdatedException", "ConcurrentReferenceUpdateException"):
                raise
    raise MlopsError(f"Another commit to {BRANCH} in {repository} is in progress.", "Try again in a minute.")


def check_first_commit(bundle: SourceBundle) -> None:
    """Raise MlopsError if CloudFormation cannot create a repository with these files."""
    _check_sizes(bundle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.zip"
        bundle.write_zip(path)
        size = path.stat().st_size
    if size > ARCHIVE_BYTES:
        largest = sorted(bundle.files, key=lambda name: (bundle.root / name).stat().st_size, reverse=True)
        raise MlopsError(
            f"The project's files are {size / 1e6:,.0f} MB as a zip, and CodeCommit takes at most 20 MB to begin with. "
            f"The largest: {', '.join(largest[:3])}.",
            OTHER_SOURCE,
        )


def _check_sizes(bundle: SourceBundle) -> None:
    large = [name for name in bundle.files if (bundle.root / name).stat().st_size > ENTRY_BYTES]
    if large:
        raise MlopsError(
            f"CodeCommit takes no file above 6 MB through its API: {', '.join(large[:5])}.",
            OTHER_SOURCE,
        )


def _branch_head(client: Client, repository: str) -> str:
    """Return the last commit of our branch. Create the branch from the default one. Empty in an empty repository."""
    try:
        return _branch(client, repository, BRANCH)
    except AwsError as error:
        if not error.is_not_found:
            raise
    default = client.get_repository(repositoryName=repository)["repositoryMetadata"].get("defaultBranch")
    if not default:
        return ""
    tip = _branch(client, repository, default)
    try:
        client.create_branch(repositoryName=repository, branchName=BRANCH, commitId=tip)
    except AwsError as error:
        if error.code != "BranchNameExistsException":
            raise
    return _branch(client, repository, BRANCH)


def _branch(client: Client, repository: str, name: str) -> str:
    return str(client.get_branch(repositoryName=repository, branchName=name)["branch"]["commitId"])


Entry = tuple[str, str]


def _tree(client: Client, repository: str, tip: str) -> dict[str, Entry]:
    """Return every file of a commit with its git blob id and mode."""
    differences = client.pages("get_differences", "differences", repositoryName=repository, afterCommitSpecifier=tip)
    blobs = [difference["afterBlob"] for difference in differences if "afterBlob" in difference]
    return {blob["path"].lstrip("/"): (blob["blobId"], _mode(blob["mode"] == "100755")) for blob in blobs}


def _mode(executable: bool) -> str:
    return "EXECUTABLE" if executable else "NORMAL"


def blob_id(content: bytes) -> str:
    """Return git's id for a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _batches(bundle: SourceBundle, tree: dict[str, Entry]) -> Iterator[dict[str, list[dict[str, Any]]]]:
    """Yield the changes in commits within the limits. Deletions come first, so that a folder can become a file."""
    gone = sorted(tree.keys() - set(bundle.files))
    for start in range(0, len(gone), ENTRIES):
        yield {"deleteFiles": [{"filePath": name} for name in gone[start : start + ENTRIES]]}
    batch: list[dict[str, Any]] = []
    size = 0
    for entry in _changed(bundle, tree):
        more = len(entry["fileContent"])
        if batch and (len(batch) == ENTRIES or size + more > COMMIT_BYTES):
            yield {"putFiles": batch}
            batch, size = [], 0
        batch.append(entry)
        size += more
    if batch:
        yield {"putFiles": batch}


def _changed(bundle: SourceBundle, tree: dict[str, Entry]) -> Iterator[dict[str, Any]]:
    for name in bundle.files:
        content, mode = bundle.content(name), _mode(bundle.executable(name))
        if tree.get(name) != (blob_id(content), mode):
            yield {"filePath": name, "fileMode": mode, "fileContent": content}


def _commit_all(client: Client, repository: str, tip: str, batches: list[dict[str, list[dict[str, Any]]]]) -> str:
    for number, batch in enumerate(batches, 1):
        response = client.create_commit(
            repositoryName=repository,
            branchName=BRANCH,
            **({"parentCommitId": tip} if tip else {}),
            authorName="mlops",
            commitMessage=f"The project as sent by mlops ({number} of {len(batches)})",
            **batch,
        )
        tip = response["commitId"]
    return tip
