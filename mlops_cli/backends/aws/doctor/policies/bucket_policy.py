"""The policy of an existing bucket: find statements that deny the project's requests. No IO."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws.doctor.policies.policy_documents import (
    Answer,
    PolicyRequest,
    Statement,
    applies,
    conditions,
    listed,
    statements,
)

ENCRYPTION, KEY = "s3:x-amz-server-side-encryption", "s3:x-amz-server-side-encryption-aws-kms-key-id"
NETWORK = ("aws:sourcevpce", "aws:sourcevpc", "aws:vpcsourceip")
CHECKPOINTS = "checkpoints/"


@dataclass(frozen=True)
class BucketUse:
    """The caller's and the roles' use of the bucket. ``role``: the beginning of the ARNs of the project's roles."""

    arn: str
    prefix: str
    artifact_folder: str
    caller: str
    role: str
    account: str
    key: str = ""
    vpc: str = ""


@dataclass(frozen=True)
class Objection:
    """A statement that denies a request, or may deny it: ``unknown`` has the condition keys that decide it."""

    statement: str
    request: PolicyRequest
    demands: Mapping[str, list[str]]
    unknown: list[str] = field(default_factory=list)

    @property
    def is_about_checkpoints(self) -> bool:
        return f"/{CHECKPOINTS}" in self.request.resource and {*self.unknown} <= {ENCRYPTION, KEY}


def objections(policy: Mapping[str, Any], use: BucketUse) -> Iterator[Objection]:
    """Yield, for each Deny statement, the first request that it denies, or else the requests that it may deny."""
    requests = list(_requests(use))
    for name, statement in statements(policy, "Deny"):
        answers: list[tuple[PolicyRequest, Answer]] = [(each, applies(statement, each)) for each in requests]
        refused = [request for request, answer in answers if answer]
        possible = [request for request, answer in answers if answer is None]
        for request in refused[:1] or possible[:1]:
            unknown = [key for key, met in conditions(statement, request).items() if met is None]
            yield Objection(name, request, _demands(statement), unknown)


def _demands(statement: Statement) -> dict[str, list[str]]:
    """Return the values that the condition keys require."""
    named = statement.get("Condition", {}).values()
    return {key.lower(): [str(value) for value in listed(values)] for keys in named for key, values in keys.items()}


def _requests(use: BucketUse) -> Iterator[PolicyRequest]:
    own, job, pipeline = use.caller, f"{use.role}JobRole-AAAAAAAAAAAA", f"{use.role}PipelineRole-AAAAAAAAAAAA"
    stage = f"{use.role}StageRole-AAAAAAAAAAAA"
    written = (
        (own, f"{use.prefix}data/dataset.csv"),
        (stage, f"{use.prefix}runs/id/run.json"),
        (job, f"{use.prefix}artifacts/train/model.tar.gz"),
        (pipeline, f"{use.artifact_folder}/source/id"),
    )
    for principal, name in written:
        for action in ("PutObject", "GetObject"):
            yield _request(use, principal, action, f"{use.arn}/{name}")
    for action in ("GetObjectVersion", "DeleteObject", "DeleteObjectVersion"):
        yield _request(use, own, action, f"{use.arn}/{use.prefix}data/dataset.csv")
    for principal in (own, stage, job):
        yield _request(use, principal, "ListBucket", use.arn)
    checkpoint = _request(use, job, "PutObject", f"{use.arn}/{use.prefix}{CHECKPOINTS}id/train/key/file")
    # SageMaker accepts no key for checkpoints, and its headers are not documented.
    values = {name: value for name, value in checkpoint.values.items() if name not in (ENCRYPTION, KEY)}
    yield PolicyRequest(checkpoint.principal, checkpoint.action, checkpoint.resource, use.account, values)


def _request(use: BucketUse, principal: str, action: str, resource: str) -> PolicyRequest:
    encrypts = bool(use.key) and action == "PutObject"
    values: dict[str, str | None] = {
        "aws:securetransport": "true",
        "s3:tlsversion": "1.2",
        "aws:principalaccount": use.account,
        "aws:principalarn": principal,
        ENCRYPTION: "aws:kms" if encrypts else None,
        KEY: use.key if encrypts else None,
        "s3:x-amz-server-side-encryption-customer-algorithm": None,
    }
    if principal.startswith(f"{use.role}PipelineRole") or (principal != use.caller and not use.vpc):
        values |= dict.fromkeys(NETWORK)  # the service's own network
    return PolicyRequest(principal, f"s3:{action}", resource, use.account, values)
