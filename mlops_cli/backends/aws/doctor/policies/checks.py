"""Check the policies of the existing bucket and of the company's key, and name the statements that deny the project."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.doctor.permissions import principal
from mlops_cli.backends.aws.doctor.policies.bucket_policy import (
    CHECKPOINTS,
    ENCRYPTION,
    KEY,
    NETWORK,
    BucketUse,
    Objection,
    objections,
)
from mlops_cli.backends.aws.doctor.policies.key_policy import KeyPolicy
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.checks import Finding, State, ok

NAME = "policy"
NO_POLICY, NO_BUCKET = "NoSuchBucketPolicy", "NoSuchBucket"


def bucket_policy(subject: CheckContext) -> Iterator[Finding]:
    """Check the policy of an existing bucket. Do nothing for a bucket that mlops creates."""
    bucket = _existing_bucket(subject)
    policy = _policy_of(subject, bucket) if bucket else None
    if policy is None:
        return
    use = _use(subject, bucket)
    refusing = list(objections(policy, use))
    of_checkpoints = [each for each in refusing if each.unknown and each.is_about_checkpoints]
    yield from (_finding(each, bucket, use) for each in refusing if each not in of_checkpoints)
    if of_checkpoints:
        yield _checkpoints(", ".join(each.statement for each in of_checkpoints), bucket, use)
    if not refusing:
        yield ok(NAME, f"the policy of the bucket {bucket} refuses nothing that mlops does")


def key_policy(subject: CheckContext) -> Iterator[Finding]:
    """Check the key policy: statements that deny, and the conditions of statements that allow."""
    if not (arn := subject.settings["KMS_KEY_ARN"]):
        return
    policy = read_key_policy(subject, arn)
    for name in policy.refusing_statements():
        yield Finding(
            NAME,
            State.FAILURE,
            f"The policy of the key {arn} refuses the project's roles or CloudWatch Logs ({name}).",
            "A statement that denies counts more than all that allow.",
            "Have the key's owner except the account's roles and CloudWatch Logs from this statement",
        )
    for name, keys in policy.unknown_conditions():
        yield _unknown(f"the policy of the key {arn} ({name})", keys)


def read_key_policy(subject: CheckContext, arn: str) -> KeyPolicy:
    document = subject.account.client("kms").get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
    return KeyPolicy(json.loads(document), f"{_roles(subject)}JobRole-AAAAAAAAAAAA", subject.account.region)


def _existing_bucket(subject: CheckContext) -> str:
    stack = subject.own_stack(subject.names.storage_stack)
    if stack and stack.outputs:
        return "" if stack.outputs.get("BucketOwned") == "true" else stack.outputs["BucketName"]
    return subject.settings["BUCKET_NAME"]


def _policy_of(subject: CheckContext, bucket: str) -> dict[str, Any] | None:
    """Return the bucket's policy, an empty one if it has none; None if the bucket does not exist yet."""
    try:
        return dict(json.loads(subject.account.client("s3").get_bucket_policy(Bucket=bucket)["Policy"]))
    except AwsError as error:
        if error.code == NO_POLICY:
            return {}
        if error.code == NO_BUCKET:
            return None
        raise


def _roles(subject: CheckContext) -> str:
    """Return the beginning of the ARNs of the project's roles."""
    identity = subject.account.identity
    path = subject.settings["ROLE_PATH"] or "/"
    return f"arn:{identity.partition}:iam::{identity.account}:role{path}{subject.names.pipeline_stack}-"


def _use(subject: CheckContext, bucket: str) -> BucketUse:
    identity = subject.account.identity
    return BucketUse(
        arn=f"arn:{identity.partition}:s3:::{bucket}",
        prefix=subject.names.key_prefix,
        artifact_folder=subject.names.artifact_folder,
        caller=principal(identity.arn, subject.account.client("iam")) or identity.arn,
        role=_roles(subject),
        account=identity.account,
        key=subject.settings["KMS_KEY_ARN"],
        vpc=subject.settings["VPC_ID"],
    )


def _checkpoints(names: str, bucket: str, use: BucketUse) -> Finding:
    return Finding(
        NAME,
        State.WARNING,
        f"Not known: whether the policy of the bucket {bucket} ({names}) lets a training store checkpoints.",
        "It demands a key in each request. SageMaker takes no key for checkpoints, and documents no header for them.",
        f"Have the bucket's owner except {use.arn}/{use.prefix}{CHECKPOINTS}* from it; or write no checkpoints",
    )


def _finding(objection: Objection, bucket: str, use: BucketUse) -> Finding:
    policy = f"the policy of the bucket {bucket} ({objection.statement})"
    if objection.unknown:
        return _unknown(policy, objection.unknown)
    request = objection.request
    message = f"T{policy[1:]} refuses {request.action} on {request.resource} to {request.principal}."
    return Finding(NAME, State.FAILURE, message, *_remedy(objection, use))


def _remedy(objection: Objection, use: BucketUse) -> tuple[str, str]:
    """Return the condition of the statement, and how to meet it."""
    demands = objection.demands
    keys = [value for value in demands.get(KEY, ()) if value.startswith("arn:")]
    if KEY in demands or demands.get(ENCRYPTION) == ["aws:kms"]:
        reason = f"It demands {' or '.join(keys) or 'a KMS key'} for each object."
        return reason, f"Set KMS_KEY_ARN={keys[0] if keys else 'ARN of the key'}, then: mlops deploy-infra"
    excepted = f"Have the bucket's owner except the project's roles ({use.role}*) and you from the statement"
    if demands.keys() & {*NETWORK}:
        return "It takes requests from one network only, and CodePipeline is never in it.", excepted
    if demands:
        return f"Its conditions are met: {', '.join(demands)}.", excepted
    return "It has no condition.", excepted


def _unknown(policy: str, keys: list[str]) -> Finding:
    return Finding(
        NAME,
        State.WARNING,
        f"Not known: whether {policy} refuses the project.",
        f"It depends on {', '.join(keys)}, which doctor cannot know before the request.",
        "Compare its values with the account, the roles and the network of this project",
    )
