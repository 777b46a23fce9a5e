"""Each setting for a company's account has a parameter, a permission, a check, a line of cleanup, docs and a test."""

from __future__ import annotations

import pytest

from mlops_cli.backends.aws.company_account import NETWORK, PARAMETERS, used_by
from mlops_cli.backends.aws.doctor.company import CHECKS, NO_RESOURCE
from mlops_cli.backends.aws.doctor.permissions import request_context
from mlops_cli.backends.aws.doctor.required_permissions import ArnContext, RequiredPermission, required_permissions
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.project.settings.company_settings import COMPANY_SETTINGS
from mlops_cli.project.settings.values import resolve
from mlops_cli.rehearsal.company import not_shown
from tests.conftest import ROOT
from tests.templates.template import FOLDER, load

ACCOUNT = "arn:aws:kms:us-east-1:123456789012"
REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"
EXAMPLES = {
    "PERMISSIONS_BOUNDARY": "arn:aws:iam::123456789012:policy/limit",
    "ROLE_PATH": "/teams/ml/",
    "RESOURCE_TAGS": "cost-center=42",
    "KMS_KEY_ARN": f"{ACCOUNT}:key/0f0f0f0f-0000-4000-8000-000000000000",
    "VPC_ID": "vpc-01234567",
    "SUBNET_IDS": "subnet-01234567",
    "SECURITY_GROUP_IDS": "sg-01234567",
    "PACKAGE_INDEX_URL": "https://packages-123456789012.d.codeartifact.us-east-1.amazonaws.com/pypi/team/simple/",
    "PACKAGE_INDEX_SECRET": "arn:aws:codeartifact:us-east-1:123456789012:domain/packages",
    "IMAGE_REGISTRY": REGISTRY,
    "BUILD_IMAGE": f"{REGISTRY}/builds:1",
}
# Go with another setting: the VPC, the address of the index.
WITH_ANOTHER = {"SUBNET_IDS": "VPC_ID", "SECURITY_GROUP_IDS": "VPC_ID", "PACKAGE_INDEX_SECRET": "PACKAGE_INDEX_URL"}
# Are a part of the roles and resources that cleanup removes.
REMOVED = ("ROLE_PATH", "RESOURCE_TAGS")
NAMES = [name for name, *_ in COMPANY_SETTINGS]


def permissions(**company: str) -> set[RequiredPermission]:
    names = ResourceNames("tiny", "dev")
    context = ArnContext(
        "aws", "us-east-1", "123456789012", names, "tiny-dev", "b", True, "s3", "", "", False, company, False
    )
    return set(required_permissions(context))


def test_every_setting_has_an_example_that_is_valid() -> None:
    assert list(EXAMPLES) == NAMES == list(PARAMETERS)
    assert resolve({}, EXAMPLES, {}).problems == []


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_a_parameter_and_has_its_permissions(name: str) -> None:
    assert PARAMETERS[name] in load(FOLDER / "pipeline.yaml")["Parameters"]
    group = {each: EXAMPLES[each] for each in (name, WITH_ANOTHER.get(name, name))}
    sent = request_context(resolve({}, group, {}))
    if name == "PACKAGE_INDEX_URL":
        group["PACKAGE_INDEX_SECRET"] = EXAMPLES["PACKAGE_INDEX_SECRET"]
    assert permissions(**group) != permissions() or sent


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_has_a_line_in_doctor_and_in_cleanup(name: str) -> None:
    first = WITH_ANOTHER.get(name, name)
    assert name in NETWORK or (name in CHECKS) is not (name in NO_RESOURCE)
    assert {name, first} & {*CHECKS, *NO_RESOURCE}
    parameters = {PARAMETERS[each]: EXAMPLES[each] for each in (name, first)}
    build_repository = {"BuildRepository": "us-east-1:123456789012:repository/mirror/builds"}
    kept = used_by({**parameters, **(build_repository if name == "BUILD_IMAGE" else {})})
    assert bool(kept) is (name not in REMOVED)


@pytest.mark.parametrize("name", NAMES)
def test_a_setting_is_in_the_docs_the_lifecycle_test_and_the_report_of_a_rehearsal(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "reference" / "aws.md").read_text()
    assert f"{name}=" in (ROOT / ".env.example").read_text()
    assert f'"{name}"' in (ROOT / "tests" / "e2e" / "aws" / "test_aws_company.py").read_text()
    settings = {**dict.fromkeys((*NAMES, "BUCKET_NAME"), ""), name: EXAMPLES[name]}
    first = WITH_ANOTHER.get(name, name)
    assert list(not_shown({**settings, first: EXAMPLES[first]}))
