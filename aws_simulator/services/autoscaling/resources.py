"""The CloudFormation types of Application Auto Scaling."""

from __future__ import annotations

from typing import Any

from aws_simulator import shapes
from aws_simulator.resources import Resource, ResourceType
from aws_simulator.services.autoscaling.service import KEY, key_of


class ScalableTargetType(ResourceType):
    name = "AWS::ApplicationAutoScaling::ScalableTarget"
    replacing = KEY

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        client = self.simulator.client("application-autoscaling", resource.caller)
        shape = self.simulator.services["application-autoscaling"].shape("RegisterScalableTargetRequest")
        tags = {tag["Key"]: tag["Value"] for tag in resource.properties.get("Tags", [])}
        request = shapes.from_properties({**resource.properties, **({"Tags": tags} if tags else {})}, shape)
        client.register_scalable_target(**request)
        namespace, identity = request["ServiceNamespace"], request["ResourceId"]
        client.describe_scalable_targets(ServiceNamespace=namespace, ResourceIds=[identity])
        physical_id = "|".join(key_of(request))
        return physical_id, {"Id": physical_id}

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        return self.create(resource)

    def delete(self, resource: Resource) -> None:
        client = self.simulator.client("application-autoscaling", resource.caller)
        try:
            client.deregister_scalable_target(**dict(zip(KEY, resource.physical_id.split("|"), strict=True)))
        except client.exceptions.ObjectNotFoundException:
            return


class ScalingPolicyType(ResourceType):
    name = "AWS::ApplicationAutoScaling::ScalingPolicy"
    replacing = (*KEY, "PolicyName", "ScalingTargetId")
    tags = None

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        client = self.simulator.client("application-autoscaling", resource.caller)
        shape = self.simulator.services["application-autoscaling"].shape("PutScalingPolicyRequest")
        properties = dict(resource.properties)
        if target := properties.pop("ScalingTargetId", ""):
            properties.update(zip(KEY, target.split("|"), strict=True))
        request = shapes.from_properties(properties, shape)
        arn = client.put_scaling_policy(**request)["PolicyARN"]
        client.describe_scaling_policies(
            ServiceNamespace=request["ServiceNamespace"], PolicyNames=[request["PolicyName"]]
        )
        return arn, {"Arn": arn}

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        return self.create(resource)

    def delete(self, resource: Resource) -> None:
        _, _, where = resource.physical_id.partition(":resource/sagemaker/")
        identity, _, name = where.partition(":policyName/")
        client = self.simulator.client("application-autoscaling", resource.caller)
        dimension = "sagemaker:variant:DesiredInstanceCount"
        try:
            client.delete_scaling_policy(
                PolicyName=name, ServiceNamespace="sagemaker", ResourceId=identity, ScalableDimension=dimension
            )
        except client.exceptions.ObjectNotFoundException:
            return
