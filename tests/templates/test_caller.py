"""The permissions of the commands' caller: each exists on AWS and fits its resource, and none is missing."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest

from aws_simulator.repairs.names import shortened
from mlops_cli.backends.aws.doctor.required_permissions import (
    ArnContext,
    policy,
    required_permissions,
)
from mlops_cli.backends.aws.resource_names import LONGEST_ROLE_ID, ResourceNames, generated_bucket
from tests.templates.references.authorization import problems
from tests.templates.references.handlers import permissions_of_handlers
from tests.templates.template import FOLDER, load

PLACE = ArnContext(
    partition="aws",
    region="eu-west-1",
    account="111122223333",
    names=ResourceNames("toxic-comments", "dev"),
    endpoint="toxic-comments-dev",
    bucket="mlops-toxic-comments-dev-storage-bucket-*",
    owned=True,
    source="codecommit",
    repository="toxic-comments-dev",
    connection="",
    sends_mail=True,
)
CONNECTED = replace(
    PLACE,
    source="connection",
    connection="arn:aws:codeconnections:eu-west-1:111122223333:connection/0123abcd-0000-0000-0000-000000000000",
)
# A template that is sent along has no resource to be narrowed to.
WITHOUT_RESOURCE = "cloudformation:GetTemplateSummary is allowed on *"
# What CloudFormation's handlers ask for to make, read, change and remove what our resources do not have.
NOT_USED = re.compile(
    "s3tables:|firehose:|kms:|s3:REST|codecommit:(PutRepositoryTriggers|UpdateRepository(EncryptionKey|Name))|iam:(Put|Delete)RolePermissionsBoundary"
    "|logs:.*(DataProtection|IndexPolicy|ResourcePolicy|LogDelivery|BearerToken|DeletionProtection|DeleteRetention|KmsKey)"
    "|s3:.*(Table|Abac|Accelerate|Analytics|CORS|Cors|Logging|ObjectLock|Replication|Website|Tiering|Inventory|Metrics)"
    "|iam:(Get|Put|Delete)(Group|User)Policy|iam:UpdateRoleDescription|s3:.*Acl|s3:DeleteBucket(Encryption|Lifecycle)|sns:(PutDataProtectionPolicy|SetSubscriptionAttributes)"
    "|sagemaker:(Put|Delete)ModelPackageGroupPolicy|sagemaker:DeleteTags|codestar-connections:PassConnection"
    "|codepipeline:(Dis|En)ableStageTransition|iam:(Attach|Detach)RolePolicy"
)


@pytest.mark.parametrize("place", [PLACE, CONNECTED], ids=["codecommit", "connection"])
def test_every_permission_exists_and_fits_its_resource(place: ArnContext) -> None:
    statement = {
        problem for statement in policy(required_permissions(place))["Statement"] for problem in problems(statement)
    }
    assert [statement for statement in statement if not statement.startswith(WITHOUT_RESOURCE)] == []


def test_the_caller_has_all_permissions_of_the_stacks_handlers() -> None:
    """This includes reading: the handler of a model package group reads its policy after the creation."""
    ours = {action for need in required_permissions(PLACE) for action in need.actions}
    requested = {
        action
        for name in ("storage", "pipeline")
        for action in permissions_of_handlers(load(FOLDER / f"{name}.yaml"))
        if not NOT_USED.match(action)
    }
    assert len(requested) > 40
    assert sorted(requested - ours) == []


@pytest.mark.parametrize(
    ("use_case", "environment"), [("t", "d"), ("toxic-comments", "dev"), ("u" * 36, "dev"), ("u", "e" * 38)]
)
def test_names_that_cloudformation_cuts_are_within_the_permissions(use_case: str, environment: str) -> None:
    names = ResourceNames(use_case, environment)
    needs = required_permissions(replace(PLACE, names=names, bucket=generated_bucket(names)))
    roles = [
        name
        for name, resource in load(FOLDER / "pipeline.yaml")["Resources"].items()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    arns = [f"arn:aws:iam::111122223333:role/{cut(names.pipeline_stack, role, 64)}" for role in roles]
    assert len(arns) > 5
    assert max(len(role) for role in roles) <= LONGEST_ROLE_ID
    bucket = f"arn:aws:s3:::{cut(names.storage_stack, 'Bucket', 63).lower()}"
    for action, arn in [*(("iam:CreateRole", arn) for arn in arns), ("s3:CreateBucket", bucket)]:
        assert any(action in need.actions and fnmatchcase(arn, need.resource) for need in needs), (action, arn)


def cut(stack: str, logical_id: str, longest: int) -> str:
    return shortened(f"{stack}-{logical_id}-ABCDEFGHIJKLM", len(stack), longest)
