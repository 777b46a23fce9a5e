"""Application Auto Scaling:

targets are real variants, their alarms are created and deleted, permissions are checked.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.endpoint_account import Models

pytestmark = pytest.mark.slow
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
TRACKING = {
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {
        "TargetValue": 600.0,
        "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
    },
}


@pytest.fixture
def models(aws: Aws, tiny_model: Path, tmp_path: Path) -> Models:
    models = Models(aws, tiny_model, tmp_path)
    models.config("c1")
    models.endpoint("e", "c1")
    return models


def test_a_target_its_policy_and_their_alarms(aws: Aws, models: Models) -> None:
    scaling, cloudwatch = aws.client("application-autoscaling"), aws.client("cloudwatch")
    with pytest.raises(ClientError, match="Could not find endpoint"):
        scaling.register_scalable_target(
            **{**TARGET, "ResourceId": "endpoint/none/variant/A"}, MinCapacity=1, MaxCapacity=2
        )
    with pytest.raises(ClientError, match="variant Other of endpoint e not found"):
        scaling.register_scalable_target(
            **{**TARGET, "ResourceId": "endpoint/e/variant/Other"}, MinCapacity=1, MaxCapacity=2
        )
    with pytest.raises(ClientError, match="No scalable target registered"):
        scaling.put_scaling_policy(PolicyName="p", **TARGET, **TRACKING)
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)
    alarms = scaling.put_scaling_policy(PolicyName="p", **TARGET, **TRACKING)["Alarms"]
    assert [name["AlarmName"].startswith("TargetTracking-endpoint/e/variant/AllTraffic-Alarm") for name in alarms] == [
        True
    ] * 2
    (target,) = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 3)
    (policy,) = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert (policy["PolicyName"], policy["Alarms"]) == ("p", alarms)
    assert len(cloudwatch.describe_alarms()["MetricAlarms"]) == 2
    models.model("m2")
    variant = {"InstanceType": "ml.c5.large", "InitialInstanceCount": 1}
    models.config("c2", "m2", variant=variant)
    with pytest.raises(ClientError, match="registered with Application Auto Scaling"):
        models.sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="c2")
    scaling.deregister_scalable_target(**TARGET)
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    assert scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"] == []
    with pytest.raises(ClientError, match="ObjectNotFoundException"):
        scaling.deregister_scalable_target(**TARGET)


def test_permissions_on_a_target_can_depend_on_its_tag(aws: Aws, models: Models) -> None:
    """Register, change and remove targets by the tag that they have, or get at their creation."""
    own, anything = {"StringEquals": {"aws:ResourceTag/whose": "ours"}}, {"Action": "sagemaker:*", "Resource": "*"}
    new = {"StringEquals": {"aws:RequestTag/whose": "ours"}, "Null": {"aws:ResourceTag/whose": "true"}}
    statements = [
        {"Action": ["application-autoscaling:*", "iam:*", "cloudwatch:*"], "Resource": "*", "Condition": own},
        {"Action": "application-autoscaling:*", "Resource": "*", "Condition": new},
        {"Action": ["iam:*", "cloudwatch:*"], "Resource": "*"},
        anything,
    ]
    ours = aws.client("application-autoscaling", **user(aws, "ours", *statements))
    with pytest.raises(ClientError, match="not authorized to perform: application-autoscaling:RegisterScalableTarget"):
        ours.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2)
    ours.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2, Tags={"whose": "ours"})
    ours.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)
    ours.put_scaling_policy(PolicyName="p", **TARGET, **TRACKING)
    ours.deregister_scalable_target(**TARGET)
    root = aws.client("application-autoscaling")
    root.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2, Tags={"whose": "theirs"})
    for refused in (
        lambda: ours.register_scalable_target(**TARGET, MinCapacity=9, MaxCapacity=9),
        lambda: ours.register_scalable_target(**TARGET, MinCapacity=9, MaxCapacity=9, Tags={"whose": "ours"}),
        lambda: ours.put_scaling_policy(PolicyName="p", **TARGET, **TRACKING),
        lambda: ours.deregister_scalable_target(**TARGET),
    ):
        with pytest.raises(ClientError, match="not authorized"):
            refused()


def test_registering_a_target_needs_the_permissions_of_the_scaling(aws: Aws, models: Models) -> None:
    register = {"Action": "application-autoscaling:RegisterScalableTarget", "Resource": "*"}
    looking = {"Action": ["sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"], "Resource": "*"}
    changing = {"Action": "sagemaker:UpdateEndpointWeightsAndCapacities", "Resource": "*"}
    linking = {"Action": "iam:CreateServiceLinkedRole", "Resource": "*"}
    for number, (statements, lacking) in enumerate(
        [
            ([register], "sagemaker:DescribeEndpoint"),
            ([register, looking], "sagemaker:UpdateEndpointWeightsAndCapacities"),
            ([register, looking, changing], "iam:CreateServiceLinkedRole"),
        ]
    ):
        scaling = aws.client("application-autoscaling", **user(aws, f"u{number}", *statements))
        with pytest.raises(ClientError, match=lacking):
            scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2)
    scaling = aws.client("application-autoscaling", **user(aws, "u9", register, looking, changing, linking))
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=2)
    with pytest.raises(ClientError, match="application-autoscaling:PutScalingPolicy"):
        scaling.put_scaling_policy(PolicyName="p", **TARGET, **TRACKING)
