"""Service Quotas over botocore on several pages, and IAM's policy simulation of every resource with a context."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws

QUOTA = "ml.m5.xlarge for training job usage"


def named(aws: Aws, operation: str) -> dict[str, float]:
    pages = aws.client("service-quotas").get_paginator(operation).paginate(ServiceCode="sagemaker")
    return {quota["QuotaName"]: quota["Value"] for page in pages for quota in page["Quotas"]}


def test_applied_quotas_are_those_that_were_set_and_all_have_a_default(aws: Aws) -> None:
    assert named(aws, "list_service_quotas") == {}
    aws.control("sagemaker-quota", quota=QUOTA, limit=0)
    assert named(aws, "list_service_quotas") == {QUOTA: 0.0}
    assert len(named(aws, "list_aws_default_service_quotas")) > 20
    with pytest.raises(ClientError, match="NoSuchResourceException"):
        aws.client("service-quotas").list_service_quotas(ServiceCode="nothing")
    keys = user(aws, "ann", {"Action": "servicequotas:ListServiceQuotas", "Resource": "*"})
    assert aws.client("service-quotas", **keys).list_service_quotas(ServiceCode="sagemaker")["Quotas"]
    with pytest.raises(ClientError, match="servicequotas:ListAWSDefaultServiceQuotas"):
        aws.client("service-quotas", **keys).list_aws_default_service_quotas(ServiceCode="sagemaker")


def test_iam_simulates_every_resource_with_its_context(aws: Aws) -> None:
    passing = {
        "Action": "iam:PassRole",
        "Resource": "arn:aws:iam::123456789012:role/a",
        "Condition": {"StringEquals": {"iam:PassedToService": "states.amazonaws.com"}},
    }
    user(aws, "ann", passing)
    arn = "arn:aws:iam::123456789012:user/ann"

    def decisions(service: str, principal: str = arn) -> list[str]:
        key = {"ContextKeyName": "iam:PassedToService", "ContextKeyValues": [service], "ContextKeyType": "string"}
        policy = aws.client("iam").simulate_principal_policy(
            PolicySourceArn=principal,
            ActionNames=["iam:PassRole"],
            ResourceArns=["arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"],
            ContextEntries=[key],
        )
        return [evaluation_result["EvalDecision"] for evaluation_result in policy["EvaluationResults"]]

    assert decisions("states.amazonaws.com") == ["allowed", "implicitDeny"]
    assert decisions("events.amazonaws.com") == ["implicitDeny", "implicitDeny"]
    with pytest.raises(ClientError, match="NoSuchEntity"):
        decisions("states.amazonaws.com", f"{arn}a")
    with pytest.raises(ClientError, match="InvalidInput"):
        decisions("states.amazonaws.com", "arn:aws:iam::123456789012:root")
