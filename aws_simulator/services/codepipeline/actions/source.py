"""Source actions: fetch a revision and store it as a zip."""

from __future__ import annotations

from typing import Any

from aws_simulator.services.codecommit import CodeCommit
from aws_simulator.services.codepipeline.actions.job import ActionError, Job

CODECOMMIT_NEEDS = ("UploadArchive", "GetUploadArchiveStatus")


def s3(job: Job) -> None:
    """Fetch the object in a versioned bucket, or the version with which the execution was started."""
    bucket, key, version = job.configuration["S3Bucket"], job.configuration["S3ObjectKey"], {}
    kind, value = job.action.execution.revisions.get(job.action.name, ("", ""))
    if kind == "S3_OBJECT_VERSION_ID":
        version = {"VersionId": value}
    elif kind == "S3_OBJECT_KEY":
        key = value
    client = job.client("s3")
    if client.get_bucket_versioning(Bucket=bucket).get("Status") != "Enabled":
        raise ActionError("ConfigurationError", f"The bucket {bucket} is not versioned")
    try:
        response = client.get_object(Bucket=bucket, Key=key, **version)
    except (client.exceptions.NoSuchKey, client.exceptions.NoSuchBucket) as error:
        raise ActionError("ConfigurationError", f"The object with key '{key}' does not exist in {bucket}") from error
    client.get_object_tagging(Bucket=bucket, Key=key, VersionId=response["VersionId"])
    job.store(response["Body"].read())
    summary = f"Amazon S3 version id: {response['VersionId']}"
    job.action.variables = {
        "BucketName": bucket,
        "ObjectKey": key,
        "ETag": response["ETag"].strip('"'),
        "VersionId": response["VersionId"],
    }
    _revised(job, response["VersionId"], summary, f"https://console.aws.amazon.com/s3/object/{bucket}?prefix={key}")


def codecommit(job: Job) -> None:
    """Fetch the last commit of a branch, or the commit with which the execution was started."""
    name, branch = job.configuration["RepositoryName"], job.configuration["BranchName"]
    client = job.client("codecommit")
    _, commit = job.action.execution.revisions.get(job.action.name, ("", ""))
    tip = client.get_branch(repositoryName=name, branchName=branch)["branch"]["commitId"]
    facts = client.get_commit(repositoryName=name, commitId=commit or tip)["commit"]
    region, account = job.role.region, job.role.account
    for permission in CODECOMMIT_NEEDS:
        job.role.require(f"codecommit:{permission}", f"arn:aws:codecommit:{region}:{account}:{name}")
    service: Any = job.simulator.services["codecommit"]
    assert isinstance(service, CodeCommit)
    job.store(service.repositories[name].git.archive(facts["commitId"]))
    job.action.variables = {
        "RepositoryName": name,
        "BranchName": branch,
        "CommitId": facts["commitId"],
        "CommitMessage": facts["message"],
        "AuthorDate": facts["author"]["date"],
        "CommitterDate": facts["committer"]["date"],
    }
    console = f"https://{region}.console.aws.amazon.com/codesuite/codecommit/repositories/{name}"
    _revised(job, facts["commitId"], facts["message"].strip(), f"{console}/commit/{facts['commitId']}")


def connection(job: Job) -> None:
    """Fetch the last commit of a branch behind a connection. GitHub is simulated by a folder."""
    arn, name, branch = (job.configuration[key] for key in ("ConnectionArn", "FullRepositoryId", "BranchName"))
    job.role.require(f"{arn.split(':')[2]}:UseConnection", arn)
    repository = job.simulator.services["codepipeline"].github.get(name)  # type: ignore[attr-defined]
    _, requested = job.action.execution.revisions.get(job.action.name, ("", ""))
    commit = repository and repository.resolve(requested or branch)
    if not repository or not commit:
        raise ActionError("ConfigurationError", f"No branch [{branch}] found for FullRepositoryName [{name}]")
    facts = repository.describe(commit)
    job.store(repository.archive(commit))
    job.action.variables = {
        "ConnectionArn": arn,
        "FullRepositoryName": name,
        "BranchName": branch,
        "CommitId": commit,
        "CommitMessage": facts["text"],
        "AuthorDate": facts["date"],
    }
    _revised(job, commit, facts["text"].strip(), f"https://github.com/{name}/commit/{commit}")


def _revised(job: Job, revision: str, summary: str, url: str) -> None:
    """Return the source revisions of the execution."""
    facts = {"revisionId": revision, "revisionUrl": url, **({"revisionSummary": summary} if summary else {})}
    job.action.execution.sources[job.action.name] = facts
    job.action.summary = summary
    job.action.external_id, job.action.external_url = revision, url
