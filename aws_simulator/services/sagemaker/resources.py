"""SageMaker's CloudFormation types: a stack creates its resources through the API, with its role's permissions."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any, ClassVar

from botocore.exceptions import ClientError

from aws_simulator import shapes
from aws_simulator.resources import Resource, ResourceType
from aws_simulator.simulator import Simulator

LOOK_SECONDS = 0.02


class ApiType(ResourceType):
    """A type with the properties of its Create operation's request."""

    operation: ClassVar[str]
    """What is created and deleted: "Model" of CreateModel and DeleteModel."""

    @property
    def _name(self) -> str:
        return f"{self.operation}Name"

    @property
    def _arn(self) -> str:
        return f"{self.operation}Arn"

    def _client(self, resource: Resource) -> Any:
        return self.simulator.client("sagemaker", resource.caller)

    def _call(self, resource: Resource, verb: str, **request: Any) -> dict[str, Any]:
        method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in f"{verb}{self.operation}")
        return dict(getattr(self._client(resource), method.lstrip("_"))(**request))

    def _request(self, resource: Resource, verb: str, *names: str) -> dict[str, Any]:
        """Return the properties as the operation's request; if there are ``names``, only these."""
        shape = self.simulator.services["sagemaker"].shape(f"{verb}{self.operation}Input")
        kept = {name: value for name, value in resource.properties.items() if not names or name in names}
        return dict(shapes.from_properties(kept, shape))

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        request = {self._name: resource.generated_name(63), **self._request(resource, "Create")}
        arn = self._call(resource, "Create", **request)[self._arn]
        self.stabilize(resource, request[self._name])
        return arn, self._attributes(request[self._name], arn)

    def _attributes(self, name: str, arn: str) -> dict[str, Any]:
        return {self._name: name, self._arn: arn}

    def stabilize(self, resource: Resource, name: str) -> None:
        self._call(resource, "Describe", **{self._name: name})

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        """Only tags can be changed in place."""
        self._update_tags(resource)
        arn = resource.physical_id
        return arn, self._attributes(arn.rpartition("/")[2], arn)

    def _update_tags(self, resource: Resource) -> None:
        old = {tag["Key"]: tag["Value"] for tag in resource.previous.get("Tags", [])}
        new = {tag["Key"]: tag["Value"] for tag in resource.properties.get("Tags", [])}
        client = self._client(resource)
        if gone := sorted(old.keys() - new.keys()):
            client.delete_tags(ResourceArn=resource.physical_id, TagKeys=gone)
        if changed := [{"Key": key, "Value": value} for key, value in new.items() if old.get(key) != value]:
            client.add_tags(ResourceArn=resource.physical_id, Tags=changed)

    def delete(self, resource: Resource) -> None:
        """Delete the resource. A missing one counts as deleted."""
        try:
            self._call(resource, "Delete", **{self._name: resource.physical_id.rpartition("/")[2]})
        except ClientError as error:
            if not any(words in str(error) for words in ("Could not find", "does not exist")):
                raise


class ModelPackageGroupType(ApiType):
    name = "AWS::SageMaker::ModelPackageGroup"
    operation = "ModelPackageGroup"
    replacing = ("ModelPackageGroupName", "ModelPackageGroupDescription")

    def _attributes(self, name: str, arn: str) -> dict[str, Any]:
        return {**super()._attributes(name, arn), "ModelPackageGroupStatus": "Completed"}

    def stabilize(self, resource: Resource, name: str) -> None:
        """Read the group, its tags and its policy with the caller's permissions, as CloudFormation's handler does."""
        arn = self._call(resource, "Describe", **{self._name: name})[self._arn]
        self._client(resource).list_tags(ResourceArn=arn)
        resource.caller.require("sagemaker:GetModelPackageGroupPolicy", arn)


class ModelType(ApiType):
    name = "AWS::SageMaker::Model"
    operation = "Model"
    replacing = (
        *("ModelName", "Containers", "EnableNetworkIsolation", "ExecutionRoleArn", "InferenceExecutionConfig"),
        *("PrimaryContainer", "VpcConfig"),
    )


class EndpointConfigType(ApiType):
    name = "AWS::SageMaker::EndpointConfig"
    operation = "EndpointConfig"
    replacing = (
        *("EndpointConfigName", "ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig", "KmsKeyId"),
        *("AsyncInferenceConfig", "ExecutionRoleArn", "EnableNetworkIsolation", "ExplainerConfig", "VpcConfig"),
        "MetricsConfig",
    )


class EndpointType(ApiType):
    name = "AWS::SageMaker::Endpoint"
    operation = "Endpoint"
    replacing = ("EndpointName",)
    only_of_updates = ("RetainAllVariantProperties", "ExcludeRetainedVariantProperties", "RetainDeploymentConfig")

    def _request(self, resource: Resource, verb: str, *names: str) -> dict[str, Any]:
        if verb == "Create":
            names = tuple(name for name in resource.properties if name not in self.only_of_updates)
        return super()._request(resource, verb, *names)

    def create(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        """On AWS, the rollback removes an endpoint that does not come into service. ministack's does not know it."""
        try:
            return super().create(resource)
        except ValueError:
            name = resource.properties.get("EndpointName") or resource.generated_name(63)
            self.delete(replace(resource, physical_id=name))
            raise

    def stabilize(self, resource: Resource, name: str) -> None:
        """Wait until nothing is in progress. Raise ValueError with CloudFormation's text if the result is wrong."""
        settled = self._settled(resource, name)
        wished = resource.properties["EndpointConfigName"]
        silent = self.simulator.services["sagemaker"].pace.silent_rollback  # type: ignore[attr-defined]
        if settled["EndpointStatus"] == "InService" and (silent or settled["EndpointConfigName"] == wished):
            return
        reason = settled.get("FailureReason") or f"The endpoint is {settled['EndpointStatus']}."
        message = (
            f"Resource of type '{self.name}' with identifier '{settled['EndpointArn']}' did not stabilize: {reason}"
        )
        token = f"(RequestToken: {uuid.uuid4()}, HandlerErrorCode: NotStabilized)"
        raise ValueError(f'Resource handler returned message: "{message}" {token}')

    def _settled(self, resource: Resource, name: str) -> dict[str, Any]:
        while True:
            description = self._call(resource, "Describe", EndpointName=name)
            if description["EndpointStatus"] in ("InService", "Failed"):
                return description
            time.sleep(LOOK_SECONDS)

    def update(self, resource: Resource) -> tuple[str, dict[str, Any]]:
        self._update_tags(resource)
        changed = [name for name in ("EndpointConfigName", "DeploymentConfig") if self._differs(resource, name)]
        name = resource.physical_id.rpartition("/")[2]
        if changed:
            members = ("EndpointConfigName", "DeploymentConfig", *self.only_of_updates)
            request = self._request(resource, "Update", *members)
            self._call(resource, "Update", **{**request, "EndpointName": name})
            self.stabilize(resource, name)
        return resource.physical_id, self._attributes(name, resource.physical_id)

    def _differs(self, resource: Resource, name: str) -> bool:
        return bool(resource.properties.get(name) != resource.previous.get(name))

    def delete(self, resource: Resource) -> None:
        super().delete(resource)
        try:
            while True:
                self._call(resource, "Describe", EndpointName=resource.physical_id.rpartition("/")[2])
                time.sleep(LOOK_SECONDS)
        except ClientError as error:
            if "Could not find" not in str(error):
                raise


def add_types(simulator: Simulator) -> None:
    for kind in (ModelPackageGroupType, ModelType, EndpointConfigType, EndpointType):
        simulator.add_resource_type(kind(simulator))
