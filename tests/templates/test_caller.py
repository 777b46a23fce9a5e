"""What the caller of the commands needs: every permission is one of AWS, fits its resource, and none is missing."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from mlops_cli.backends.aws.doctor.required_permissions import ArnContext, policy, required_permissions
from mlops_cli.backends.aws.resource_names import ResourceNames
from tests.templates.authorization import problems
from tests.templates.handlers import permissions_of_handlers
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
# What CloudFormation's handlers ask for to make, change and remove what our resources do not have.
NOT_USED = re.compile(
    "s3tables:|firehose:|codecommit:(PutRepositoryTriggers|UpdateRepository(EncryptionKey|Name))|iam:(Put|Delete)RolePermissionsBoundary"
    "|logs:.*(DataProtection|IndexPolicy|ResourcePolicy|LogDelivery|BearerToken|DeletionProtection|DeleteRetention)"
    "|s3:.*(Table|Abac|Accelerate|Analytics|CORS|Cors|Logging|ObjectLock|Replication|Website|Tiering|Inventory|Metrics)"
    "|iam:(Put|Delete)(Group|User)Policy|iam:UpdateRoleDescription|s3:.*(Acl|TagResource)|s3:DeleteBucket(Encryption|Lifecycle)|sns:(PutDataProtectionPolicy|SetSubscriptionAttributes)"
    "|sagemaker:(Put|Delete)ModelPackageGroupPolicy|sagemaker:DeleteTags|codestar-connections:PassConnection"
)
MAKING = ("Create", "Put", "Delete", "Pass", "Subscribe", "Start", "Add", "Tag", "Set", "Update")


@pytest.mark.parametrize("place", [PLACE, CONNECTED], ids=["codecommit", "connection"])
def test_every_permission_exists_and_fits_its_resource(place: ArnContext) -> None:
    found = {
        problem for statement in policy(required_permissions(place))["Statement"] for problem in problems(statement)
    }
    assert [one for one in found if not one.startswith(WITHOUT_RESOURCE)] == []


def test_what_makes_and_removes_the_stacks_is_all_there() -> None:
    """The handlers' permissions that make, change and remove; what they only read tells drift, which is not asked."""
    ours = {action for need in required_permissions(PLACE) for action in need.actions}
    asked = {
        action
        for name in ("storage", "pipeline")
        for action in permissions_of_handlers(load(FOLDER / f"{name}.yaml"))
        if action.split(":")[1].startswith(MAKING) and not NOT_USED.match(action)
    }
    assert len(asked) > 40
    assert sorted(asked - ours) == []
