"""An endpoint as a stack: created, updated in place, rolled back and removed with the stack role's permissions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.accounts import eventually, grant, reasons, role, settled
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.endpoint_account import ALARMS, ENOUGH, Models

pytestmark = pytest.mark.slow
ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
MAKE = {
    "Action": [
        *("sagemaker:CreateModel", "sagemaker:DescribeModel", "sagemaker:DeleteModel", "sagemaker:AddTags"),
        *("sagemaker:CreateEndpointConfig", "sagemaker:DescribeEndpointConfig", "sagemaker:DeleteEndpointConfig"),
        *("sagemaker:CreateEndpoint", "sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpoint"),
        *("sagemaker:DeleteEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"),
    ],
    "Resource": [f"{ARN}model/e-*", f"{ARN}endpoint-config/e-*", f"{ARN}endpoint/e"],
}
PACKAGE = {"Action": "sagemaker:CreateModel", "Resource": f"{ARN}model-package/ours/*"}
ALARM = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"
WATCH = {
    "Action": ["cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms"],
    "Resource": [f"{ALARM}e-errors", f"{ALARM}TargetTracking-endpoint/e/*"],
}
MARK = {"Action": "cloudwatch:TagResource", "Resource": f"{ALARM}e-errors"}
SCALE = {
    "Action": [
        *("application-autoscaling:RegisterScalableTarget", "application-autoscaling:DeregisterScalableTarget"),
        *("application-autoscaling:PutScalingPolicy", "application-autoscaling:DeleteScalingPolicy"),
    ],
    "Resource": "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/*",
    "Condition": {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}},
}
LOOK = {
    "Action": [
        *("application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies"),
        "application-autoscaling:TagResource",
    ],
    "Resource": "*",
}
LINK = {
    "Action": "iam:CreateServiceLinkedRole",
    "Resource": "*",
    "Condition": {"StringEquals": {"iam:AWSServiceName": "sagemaker.application-autoscaling.amazonaws.com"}},
}


DIMENSIONS = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "AllTraffic"}]
ALARM = {
    "Errors": {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": "e-errors",
            "Namespace": "AWS/SageMaker",
            "MetricName": "Invocation5XXErrors",
            "Dimensions": DIMENSIONS,
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        },
    },
}
SCALING = {
    "Target": {
        "Type": "AWS::ApplicationAutoScaling::ScalableTarget",
        "Properties": {
            "ServiceNamespace": "sagemaker",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
            "ResourceId": {"Fn::Sub": "endpoint/${Endpoint.EndpointName}/variant/AllTraffic"},
            "MinCapacity": 1,
            "MaxCapacity": 2,
        },
    },
    "Scaling": {
        "Type": "AWS::ApplicationAutoScaling::ScalingPolicy",
        "Properties": {
            "PolicyName": "invocations",
            "PolicyType": "TargetTrackingScaling",
            "ScalingTargetId": {"Ref": "Target"},
            "TargetTrackingScalingPolicyConfiguration": {
                "TargetValue": 600,
                "PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
            },
        },
    },
}


def template(revision: str, package: str, model_role: str, **policy: Any) -> str:
    """Return a template like the project's own: a new model and configuration for each revision, one endpoint."""
    variant = {"VariantName": "AllTraffic", "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]}}
    instances = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    deployment = {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
            "TerminationWaitInSeconds": policy.get("baking", 300),
        },
        "AutoRollbackConfiguration": {"Alarms": [{"AlarmName": {"Ref": "Errors"}}]},
    }
    resources = {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ModelName": f"e-{revision}",
                "ExecutionRoleArn": model_role,
                "PrimaryContainer": {"ModelPackageName": package},
            },
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {"EndpointConfigName": f"e-{revision}", "ProductionVariants": [{**variant, **instances}]},
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": "e",
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
                "DeploymentConfig": deployment,
                "RetainAllVariantProperties": True,
                "Tags": [{"Key": "mlops:model-digest", "Value": revision}],
            },
        },
    }
    return json.dumps(
        {"Resources": {**resources, **ALARM, **SCALING}, "Outputs": {"Arn": {"Value": {"Ref": "Endpoint"}}}}
    )


class Stack:
    def __init__(self, aws: Aws, models: Models) -> None:
        self.aws = aws
        self.models = models
        passing = {
            "Action": "iam:PassRole",
            "Resource": models.role,
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        }
        self.statements = [MAKE, PACKAGE, passing, WATCH, MARK, SCALE, LOOK, LINK]
        self.role = role(aws, "deploy", "cloudformation.amazonaws.com", *self.statements)
        self.cloudformation = aws.client("cloudformation")
        self._tags = [{"Key": "mlops:project", "Value": "tiny"}]

    def create(self, revision: str = "1", package: str = "") -> str:
        body = template(revision, package or self.models.register(), self.models.role)
        self.cloudformation.create_stack(StackName="s", TemplateBody=body, RoleARN=self.role, Tags=self._tags)
        return settled(self.aws, "s")

    def update(self, revision: str, package: str = "") -> str:
        body = template(revision, package or self.models.register(), self.models.role)
        self.cloudformation.update_stack(StackName="s", TemplateBody=body, RoleARN=self.role, Tags=self._tags)
        return settled(self.aws, "s")

    def delete(self) -> str:
        self.cloudformation.delete_stack(StackName="s")
        return settled(self.aws, "s")

    def left(self) -> list[str]:
        """Return the existing models, configurations, endpoints, alarms and targets."""
        sagemaker = self.models.sagemaker
        alarms = self.aws.client("cloudwatch").describe_alarms()["MetricAlarms"]
        targets = self.aws.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="sagemaker")
        return [
            *(model["ModelName"] for model in sagemaker.list_models()["Models"]),
            *(config["EndpointConfigName"] for config in sagemaker.list_endpoint_configs()["EndpointConfigs"]),
            *(endpoint["EndpointName"] for endpoint in sagemaker.list_endpoints()["Endpoints"]),
            *(alarm["AlarmName"] for alarm in alarms),
            *(target["ResourceId"] for target in targets["ScalableTargets"]),
        ]


@pytest.fixture
def stack(aws: Aws, tiny_model: Path, tmp_path: Path) -> Stack:
    return Stack(aws, Models(aws, tiny_model, tmp_path, *ENOUGH, ALARMS))


def test_a_second_deployment_updates_the_same_endpoint_and_no_resource_remains(aws: Aws, stack: Stack) -> None:
    assert stack.create() == "CREATE_COMPLETE", reasons(aws, "s")
    before = stack.models.sagemaker.describe_endpoint(EndpointName="e")
    assert stack.models.ask("e", "one") == [3.0]
    tags = stack.models.sagemaker.list_tags(ResourceArn=before["EndpointArn"])["Tags"]
    assert {"Key": "mlops:project", "Value": "tiny"} in tags
    assert {"Key": "mlops:model-digest", "Value": "1"} in tags
    assert stack.update("2") == "UPDATE_COMPLETE", reasons(aws, "s")
    after = stack.models.sagemaker.describe_endpoint(EndpointName="e")
    assert (after["EndpointConfigName"], after["CreationTime"]) == ("e-2", before["CreationTime"])
    assert stack.models.ask("e", "one") == [3.0]
    eventually(lambda: not {"e-1"} & set(stack.left()))
    tags = stack.models.sagemaker.list_tags(ResourceArn=before["EndpointArn"])["Tags"]
    assert {"Key": "mlops:model-digest", "Value": "2"} in tags
    (output,) = stack.cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]
    assert output["OutputValue"] == f"{ARN}endpoint/e"
    assert stack.delete() == "DELETE_COMPLETE", reasons(aws, "s")
    assert stack.left() == []
    assert aws.denials() == []
    assert [entry for entry in aws.unused_permissions() if entry["role"] == "deploy"] == []


def test_an_alarm_rolls_the_endpoint_and_the_stack_back(aws: Aws, stack: Stack) -> None:
    assert stack.create() == "CREATE_COMPLETE", reasons(aws, "s")
    aws.control("sagemaker-fire", endpoint="e")
    assert stack.update("2") == "UPDATE_ROLLBACK_COMPLETE"
    (reason,) = reasons(aws, "s")
    assert f"Resource of type 'AWS::SageMaker::Endpoint' with identifier '{ARN}endpoint/e' did not stabilize" in reason
    assert "in ALARM state: e-errors" in reason
    assert "HandlerErrorCode: NotStabilized" in reason
    assert stack.models.sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e-1"
    assert stack.models.ask("e", "one") == [3.0]
    eventually(lambda: "e-2" not in stack.left())


def test_a_rolled_back_update_that_cloudformation_reports_as_a_success(aws: Aws, stack: Stack) -> None:
    """It is not documented whether CloudFormation does this; a client that waits only for InService does."""
    aws.control("sagemaker-rollback", silent=True)
    assert stack.create() == "CREATE_COMPLETE", reasons(aws, "s")
    aws.control("sagemaker-fire", endpoint="e")
    assert stack.update("2") == "UPDATE_COMPLETE"
    assert stack.models.sagemaker.describe_endpoint(EndpointName="e")["EndpointConfigName"] == "e-1"
    eventually(lambda: "e-1" not in stack.left())
    assert stack.models.ask("e", "one") == [3.0]


def test_an_unapproved_package_makes_no_stack(aws: Aws, stack: Stack) -> None:
    assert stack.create(package=stack.models.register("PendingManualApproval")) == "ROLLBACK_COMPLETE"
    (reason,) = [text for text in reasons(aws, "s") if "approval status" in text]
    assert reason.startswith('Resource handler returned message: "Cannot create a model from model package')
    assert "(Service: SageMaker, Status Code: 400" in reason
    assert stack.left() == []


def test_an_endpoint_that_does_not_start_makes_no_stack(aws: Aws, stack: Stack) -> None:
    broken = stack.models.put("models/broken.tar.gz", "no archive")
    assert stack.create(package=stack.models.register(url=broken)) == "ROLLBACK_COMPLETE"
    assert "did not pass the ping health check" in " ".join(reasons(aws, "s"))
    assert stack.left() == []


@pytest.mark.parametrize(
    ("statement", "lacking"),
    [(PACKAGE, "sagemaker:CreateModel"), (WATCH, "cloudwatch:PutMetricAlarm"), (LINK, "iam:CreateServiceLinkedRole")],
)
def test_a_missing_permission_of_the_stacks_role_fails_the_stack(
    aws: Aws, stack: Stack, statement: dict[str, Any], lacking: str
) -> None:
    grant(
        aws,
        "deploy",
        *(each for each in stack.statements if each is not statement),
        {**WATCH, "Action": "cloudwatch:DeleteAlarms"},
    )
    assert stack.create() == "ROLLBACK_COMPLETE"
    assert lacking in " ".join(reasons(aws, "s"))
    assert {"role": "deploy", "action": lacking}.items() <= aws.denials()[0].items()
