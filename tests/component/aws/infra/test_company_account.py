"""The effect of a company's key on instances, and where AWS finds a secret. Without AWS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.clients.secrets import missing_secrets
from mlops_cli.backends.aws.company_account import CompanyAccount

WITH_DISKS = (
    "c5d c6gd c6id m5d m5dn m6gd m6id r5d r6gd r7gd g4dn g5 g6 g6e g6f g7e gr6 gr6f i3 i3en i4i i7ie "
    "p3dn p4d p4de p5 p5e p5en p6-b200 p6e-gb200 trn1 trn1n trn2"
)
WITHOUT_DISKS = "c4 c5 c5n c6g c6gn c6i c7g c7i inf1 inf2 m4 m5 m6g m6i m7i p2 p3 r5 r6g r6i r7g r7i r8g t2 t3"


@pytest.mark.parametrize(
    ("families", "key"), [(WITH_DISKS, ""), (WITHOUT_DISKS, "arn:key")], ids=["with-disks", "without-disks"]
)
def test_machines_with_disks_of_their_own_take_no_key_for_volumes(families: str, key: str) -> None:
    company = CompanyAccount(kms_key="arn:key")
    assert {family: company.volume_key(f"ml.{family}.xlarge") for family in families.split()} == dict.fromkeys(
        families.split(), key
    )


def test_a_parameter_on_a_later_page_is_found() -> None:
    """Parameter Store filters each page, so the first page may be empty."""
    name = {"Key": "Name", "Option": "Equals", "Values": ["/shop/a"]}
    ssm = boto3.client("ssm", "us-east-1", aws_access_key_id="a", aws_secret_access_key="b")
    account: Any = SimpleNamespace(client=lambda service: Client(ssm, ""))
    with Stubber(ssm) as answers:
        for parameters in ([{"Name": "/shop/a"}], []):
            first, second = {"ParameterFilters": [name]}, {"ParameterFilters": [name], "NextToken": "more"}
            answers.add_response("describe_parameters", {"Parameters": [], "NextToken": "more"}, first)
            answers.add_response("describe_parameters", {"Parameters": parameters}, second)
        assert list(missing_secrets(account, {"A": "/shop/a"})) == []
        assert list(missing_secrets(account, {"A": "/shop/a"})) == [("A", "/shop/a")]
