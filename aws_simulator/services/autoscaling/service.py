"""Application Auto Scaling of SageMaker's variants: targets, policies and their alarms. Nothing is scaled."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ministack.services import cloudwatch, iam

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, root
from aws_simulator.service import Request, Service, operation, page, tag_context
from aws_simulator.services.cloudwatch import alarm_arn
from aws_simulator.services.sagemaker.common import now
from aws_simulator.simulator import Simulator

LINKED = "sagemaker.application-autoscaling.amazonaws.com"
LINKED_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
KEY = ("ResourceId", "ScalableDimension", "ServiceNamespace")
Key = tuple[str, str, str]


@dataclass
class Policy:
    arn: str
    request: Request
    alarms: list[dict[str, str]]
    created: Any = field(default_factory=now)


@dataclass
class Target:
    arn: str
    request: Request
    role: str
    created: Any = field(default_factory=now)
    policies: dict[str, Policy] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def key_of(request: Request) -> Key:
    return request["ResourceId"], request["ScalableDimension"], request["ServiceNamespace"]


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of the actions on targets and policies."""
    return {
        "application-autoscaling:service-namespace": request["ServiceNamespace"],
        "application-autoscaling:scalable-dimension": request["ScalableDimension"],
    }


def target_arns(_: Any, request: Request, caller: Caller) -> list[str]:
    """Return the last part of the ARN. On AWS it is random; here it is derived from the target."""
    name = hashlib.sha256("|".join(key_of(request)).encode()).hexdigest()[:32]
    return [f"arn:aws:application-autoscaling:{caller.region}:{caller.account}:scalable-target/{name}"]


class Autoscaling(Service):
    name = "application-autoscaling"
    serial = False  # it changes alarms and endpoints through their APIs

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(simulator)
        self.targets: dict[str, Target] = {}

    def resource_tags(self, request: Request, caller: Caller) -> Mapping[str, str]:
        arn = request.get("ResourceARN") or (target_arns(self, request, caller)[0] if "ResourceId" in request else "")
        target = self.targets.get(arn)
        return {f"aws:ResourceTag/{name}": value for name, value in target.tags.items()} if target else {}

    def is_scaled(self, resource: str) -> bool:
        """Return True if "endpoint/NAME/variant/NAME" is a target."""
        return any(target.request["ResourceId"] == resource for target in self.targets.values())

    @operation(target_arns, context=conditions)
    def register_scalable_target(self, request: Request, caller: Caller) -> dict[str, Any]:
        (arn,) = target_arns(self, request, caller)
        if request.get("Tags"):
            tags = {**tag_context(request), **self.resource_tags(request, caller)}
            caller.require("application-autoscaling:TagResource", arn, tags)
        existing = self.targets.get(arn)
        if existing is None and not {"MinCapacity", "MaxCapacity"} <= request.keys():
            raise ServiceError("ValidationException", "MinCapacity and MaxCapacity are required for a new target.")
        self._check_variant(request, caller)
        wish = {**(existing.request if existing else {}), **request}
        if wish["MinCapacity"] > wish["MaxCapacity"]:
            raise ServiceError("ValidationException", "Maximum capacity cannot be less than minimum capacity.")
        role = self._service_linked_role(caller)
        target = existing or Target(arn, wish, role)
        target.request = wish
        target.tags.update(request.get("Tags", {}))
        self.targets[arn] = target
        return {"ScalableTargetARN": arn}

    def _check_variant(self, request: Request, caller: Caller) -> None:
        """Require that the variant exists and that the caller has the permissions that the scaling will use."""
        _, endpoint, _, variant = (request["ResourceId"].split("/") + [""] * 4)[:4]
        client = self.simulator.client("sagemaker", caller)
        try:
            description = client.describe_endpoint(EndpointName=endpoint)
            client.describe_endpoint_config(EndpointConfigName=description["EndpointConfigName"])
        except client.exceptions.ClientError as error:
            raise ServiceError("ValidationException", error.response["Error"]["Message"]) from error
        arn = f"arn:aws:sagemaker:{caller.region}:{caller.account}:endpoint/{endpoint}"
        caller.require("sagemaker:UpdateEndpointWeightsAndCapacities", arn)
        if variant not in [each["VariantName"] for each in description.get("ProductionVariants", [])]:
            message = f"Production variant {variant} of endpoint {endpoint} not found."
            raise ServiceError("ValidationException", message)

    def _service_linked_role(self, caller: Caller) -> str:
        """Create the role with the first target of an account."""
        arn = f"arn:aws:iam::{caller.account}:role/aws-service-role/{LINKED}/{LINKED_ROLE}"
        if iam._roles.get(LINKED_ROLE) is None:
            caller.require("iam:CreateServiceLinkedRole", arn, {"iam:AWSServiceName": LINKED})
            client = self.simulator.client("iam", root())
            with suppress(client.exceptions.EntityAlreadyExistsException):  # ministack uses another name for it
                client.create_service_linked_role(AWSServiceName=LINKED)
        return arn

    @operation(target_arns, context=conditions)
    def deregister_scalable_target(self, request: Request, caller: Caller) -> None:
        target = self._target(request, caller)
        for policy in target.policies.values():
            self._drop_alarms(policy, caller)
        del self.targets[target.arn]

    @operation()
    def describe_scalable_targets(self, request: Request, caller: Caller) -> dict[str, Any]:
        resource_ids = request.get("ResourceIds")
        rows = [
            {
                **{name: target.request[name] for name in (*KEY, "MinCapacity", "MaxCapacity")},
                "RoleARN": target.role,
                "CreationTime": target.created,
                "ScalableTargetARN": target.arn,
            }
            for target in self.targets.values()
            if target.request["ServiceNamespace"] == request["ServiceNamespace"]
            and (not resource_ids or target.request["ResourceId"] in resource_ids)
        ]
        return page(rows, request, "ScalableTargets", "MaxResults", "NextToken", 50)

    @operation(target_arns, context=conditions)
    def put_scaling_policy(self, request: Request, caller: Caller) -> dict[str, Any]:
        target = self._target(request, caller)
        existing = target.policies.get(request["PolicyName"])
        if existing is None and "PolicyType" not in request:
            raise ServiceError("ValidationException", "PolicyType is required for a new policy.")
        name = f"resource/sagemaker/{request['ResourceId']}:policyName/{request['PolicyName']}"
        prefix = f"arn:aws:autoscaling:{caller.region}:{caller.account}:scalingPolicy:{uuid.uuid4()}"
        policy = existing or Policy(f"{prefix}:{name}", request, [])
        policy.request = {**policy.request, **request}
        policy.alarms = self._put_alarms(policy, caller)
        target.policies[request["PolicyName"]] = policy
        return {"PolicyARN": policy.arn, "Alarms": policy.alarms}

    def _put_alarms(self, policy: Policy, caller: Caller) -> list[dict[str, str]]:
        """Create the two alarms of target tracking with the caller's permissions."""
        configuration = policy.request.get("TargetTrackingScalingPolicyConfiguration")
        if configuration is None:
            return []
        names = [alarm["AlarmName"] for alarm in policy.alarms] or [
            f"TargetTracking-{policy.request['ResourceId']}-Alarm{end}-{uuid.uuid4()}" for end in ("High", "Low")
        ]
        comparisons = ("GreaterThanThreshold", "LessThanThreshold")
        for name, comparison in zip(names, comparisons, strict=True):
            caller.require("cloudwatch:PutMetricAlarm", alarm_arn(name))
            _put_alarm(name, comparison, policy.request["ResourceId"], configuration["TargetValue"])
        return [{"AlarmName": name, "AlarmARN": alarm_arn(name)} for name in names]

    def _drop_alarms(self, policy: Policy, caller: Caller) -> None:
        for alarm in policy.alarms:
            caller.require("cloudwatch:DeleteAlarms", alarm["AlarmARN"])
            cloudwatch.cloudformation_delete_metric_alarm(alarm["AlarmName"])

    @operation(target_arns, context=conditions)
    def delete_scaling_policy(self, request: Request, caller: Caller) -> None:
        policies = self._target(request, caller).policies
        if request["PolicyName"] not in policies:
            message = f"No scaling policy found for resource: {request['ResourceId']} and name {request['PolicyName']}"
            raise ServiceError("ObjectNotFoundException", message)
        self._drop_alarms(policies.pop(request["PolicyName"]), caller)

    @operation()
    def describe_scaling_policies(self, request: Request, caller: Caller) -> dict[str, Any]:
        names = (*KEY, "PolicyName", "PolicyType", "TargetTrackingScalingPolicyConfiguration")
        rows = [
            {
                **{name: policy.request[name] for name in names if name in policy.request},
                "PolicyARN": policy.arn,
                "Alarms": policy.alarms,
                "CreationTime": policy.created,
            }
            for target in self.targets.values()
            for policy in target.policies.values()
            if request.get("ResourceId") in (None, target.request["ResourceId"])
            and request.get("PolicyNames", [policy.request["PolicyName"]]).count(policy.request["PolicyName"])
        ]
        return page(rows, request, "ScalingPolicies", "MaxResults", "NextToken", 10)

    @operation("{ResourceARN}")
    def list_tags_for_resource(self, request: Request, caller: Caller) -> dict[str, Any]:
        target = self.targets.get(request["ResourceARN"])
        if target is None:
            raise ServiceError("ResourceNotFoundException", f"No such target: {request['ResourceARN']}")
        return {"Tags": dict(target.tags)}

    def _target(self, request: Request, caller: Caller) -> Target:
        target = self.targets.get(target_arns(self, request, caller)[0])
        if target is None:
            names = ", ".join(
                f"{name}: {request[name]}" for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")
            )
            raise ServiceError("ObjectNotFoundException", f"No scalable target registered for {names}")
        return target


def _put_alarm(name: str, comparison: str, resource: str, threshold: float) -> None:
    _, endpoint, _, variant = resource.split("/")
    fields = {
        "AlarmName": name,
        "Namespace": "AWS/SageMaker",
        "MetricName": "InvocationsPerInstance",
        "Dimensions": [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}],
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": threshold,
        "ComparisonOperator": comparison,
    }
    cloudwatch._put_metric_alarm({}, fields, False, True)
