"""Who may read a repository of CodeArtifact: the token's caller, by its permissions at the time of the request."""

from __future__ import annotations

from typing import Any

import pytest

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws

DOMAIN = "arn:aws:codeartifact:us-east-1:123456789012:domain/company"
BEARER = {"StringEquals": {"sts:AWSServiceName": "codeartifact.amazonaws.com"}}
TOKEN: list[dict[str, Any]] = [
    {"Action": "codeartifact:GetAuthorizationToken", "Resource": DOMAIN},
    {"Action": "sts:GetServiceBearerToken", "Resource": "*", "Condition": BEARER},
]
READ = {"Action": "codeartifact:ReadFromRepository", "Resource": f"{DOMAIN.replace(':domain', ':repository')}/pypi"}


@pytest.mark.parametrize(("statements", "status"), [([*TOKEN, READ], 200), (TOKEN, 403)])
def test_a_token_reads_what_its_caller_may_read(aws: Aws, statements: list[dict[str, Any]], status: int) -> None:
    aws.control("codeartifact", domain="company", repositories=["pypi"], token="prefix")
    client = aws.client("codeartifact", **user(aws, "ann", *statements))
    token = client.get_authorization_token(domain="company", domainOwner="123456789012")["authorizationToken"]
    assert aws.control("codeartifact-read", token=token, domain="company", repository="pypi") == status
    assert aws.control("codeartifact-read", token=token, domain="company", repository="other") == 403
    assert aws.control("codeartifact-read", token="prefix", domain="company", repository="pypi") == 401


@pytest.mark.parametrize("statement", [0, 1])
def test_a_token_needs_both_permissions(aws: Aws, statement: int) -> None:
    aws.control("codeartifact", domain="company", repositories=["pypi"], token="prefix")
    client = aws.client("codeartifact", **user(aws, "ann", TOKEN[statement]))
    with pytest.raises(client.exceptions.AccessDeniedException):
        client.get_authorization_token(domain="company", domainOwner="123456789012")
