"""Check for lifecycle rules of the bucket that would delete files of an approved model or of its approval."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.checks import Finding, State, ok

NO_RULES = "NoSuchLifecycleConfiguration"
# Folders below the project's prefix: objects are kept in the first, earlier versions, too, in the second.
KEPT = ("data/", "code/", "artifacts/", "records/", "runs/", "decisions/", "models/")
KEPT_VERSIONS = ("data/", "source/", "decisions/", "models/")
SCRATCH = "artifacts/reproduction/"


def expiry(subject: CheckContext) -> Iterator[Finding]:
    """Yield a warning for each such rule, set by an older version of mlops or by the owner of an existing bucket."""
    stack = subject.own_stack(subject.names.storage_stack)
    bucket = stack.outputs.get("BucketName", "") if stack else ""
    if not bucket or stack is None:
        return
    harmful = [rule for rule in _rules(subject, bucket) if _deletes(rule, subject.names.key_prefix)]
    for rule in harmful:
        name = rule.get("ID", "without a name")
        yield Finding(
            "expiry",
            State.WARNING,
            f"The lifecycle rule {name} of the bucket {bucket} deletes objects of this project.",
            "It would also delete inputs and evidence of approved models.",
            "mlops deploy-infra"
            if stack.outputs.get("BucketOwned") == "true"
            else f"Have {subject.names.key_prefix} excepted from the rule by the owner of the bucket",
        )
    if not harmful:
        yield ok("expiry", f"no rule of the bucket {bucket} deletes inputs of approved models")


def _rules(subject: CheckContext, bucket: str) -> list[dict[str, Any]]:
    client = subject.account.client("s3")
    try:
        rules = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except AwsError as error:
        if error.code != NO_RULES:
            raise
        return []
    return [rule for rule in rules if rule["Status"] == "Enabled"]


def _deletes(rule: dict[str, Any], project: str) -> bool:
    expiration = rule.get("Expiration", {})
    kept = KEPT if "Days" in expiration or "Date" in expiration else ()
    versions = KEPT_VERSIONS if "NoncurrentVersionExpiration" in rule else ()
    criteria = rule.get("Filter", {})
    prefix = criteria.get("Prefix") or criteria.get("And", {}).get("Prefix") or rule.get("Prefix", "")
    if prefix.startswith(project + SCRATCH):
        return False
    folders = [project + folder for folder in (*kept, *versions)]
    return any(folder.startswith(prefix) or prefix.startswith(folder) for folder in folders)
