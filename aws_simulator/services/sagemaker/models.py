"""Models: an image and an archive, or an approved version of a model package, with a role that may read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.permissions.networks import network_conditions, require_keys_and_network
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation
from aws_simulator.services.sagemaker import storage
from aws_simulator.services.sagemaker.common import SERVICE, arn_of, echoed, invalid, listing, now, require_tagging
from aws_simulator.services.sagemaker.jobs.training import assume_role

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.registry import ModelRegistry as Base
else:
    Base = object


@dataclass
class Model:
    arn: str
    request: Request
    containers: list[Mapping[str, Any]]
    """Image and ModelDataUrl of each, model packages resolved."""
    created: Any = field(default_factory=now)

    @property
    def name(self) -> str:
        return str(self.request["ModelName"])

    @property
    def role(self) -> str:
        return str(self.request["ExecutionRoleArn"])

    def summary(self) -> dict[str, Any]:
        return {"ModelName": self.name, "ModelArn": self.arn, "CreationTime": self.created}


def given_containers(request: Request) -> list[dict[str, Any]]:
    return [*([request["PrimaryContainer"]] if "PrimaryContainer" in request else []), *request.get("Containers", [])]


def needed_resources(_: Any, request: Request, caller: Caller) -> list[str]:
    """sagemaker:CreateModel is needed on the model and, as for other accounts' packages, on the model package."""
    names = [
        container["ModelPackageName"] for container in given_containers(request) if "ModelPackageName" in container
    ]
    packages = [name if name.startswith("arn:") else arn_of(caller, "model-package", name) for name in names]
    return [arn_of(caller, "model", request["ModelName"]), *packages]


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of sagemaker:CreateModel."""
    keys = network_conditions(request.get("VpcConfig", {}))
    return {name: value for name, value in keys.items() if value is not None}


class Models(Base):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.models: dict[str, Model] = {}

    @operation(needed_resources, passes={"ExecutionRoleArn": SERVICE}, context=conditions)
    def create_model(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "model", request["ModelName"])
        require_tagging(request, arn, caller)
        if arn in self.models:
            raise invalid(f'Cannot create already existing model "{arn}".')
        if not given_containers(request) or "ExecutionRoleArn" not in request:
            raise invalid("A model needs a PrimaryContainer or Containers, and an ExecutionRoleArn.")
        containers = [self._resolved(container, caller) for container in given_containers(request)]
        role = assume_role(request["ExecutionRoleArn"])
        require_keys_and_network(self.simulator, role, None, None, request.get("VpcConfig", {}))
        for container in containers:
            if "ModelDataUrl" in container:
                check_data(
                    self.simulator.client("s3", role), container["ModelDataUrl"], request["ExecutionRoleArn"], caller
                )
        self.models[arn] = Model(arn, request, containers)
        self.tag(arn, request.get("Tags"))
        return {"ModelArn": arn}

    def _resolved(self, container: Mapping[str, Any], caller: Caller) -> Mapping[str, Any]:
        name = container.get("ModelPackageName")
        if name is None:
            if "Image" not in container:
                raise invalid("A container needs an Image or a ModelPackageName.")
            return container
        package = self.package(name if name.startswith("arn:") else arn_of(caller, "model-package", name))
        if package.approval != "Approved":
            status = f"its approval status is {package.approval}, not Approved."
            raise invalid(f"Cannot create a model from model package {package.arn}: {status}")
        (definition,) = package.containers
        return {**definition, **{key: value for key, value in container.items() if key != "ModelPackageName"}}

    @operation("arn:aws:sagemaker:{region}:{account}:model/{ModelName}")
    def describe_model(self, request: Request, caller: Caller) -> dict[str, Any]:
        model = self.model_named(request["ModelName"], caller)
        return {
            **echoed(model.request, self.shape("DescribeModelOutput")),
            "ModelArn": model.arn,
            "CreationTime": model.created,
        }

    @operation()
    def list_models(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [model.summary() for arn, model in self.models.items() if arn.startswith(arn_of(caller, "model", ""))]
        return listing(rows, request, "Models", "ModelName")

    @operation("arn:aws:sagemaker:{region}:{account}:model/{ModelName}")
    def delete_model(self, request: Request, caller: Caller) -> None:
        model = self.model_named(request["ModelName"], caller)
        del self.models[model.arn]
        self.tags.pop(model.arn, None)

    def model_named(self, name: str, caller: Caller) -> Model:
        arn = arn_of(caller, "model", name)
        model = self.models.get(arn)
        if model is None:
            raise invalid(f'Could not find model "{arn}".')
        return model


def check_data(s3: Any, uri: str, role: str, caller: Caller) -> None:
    """Check with the model's role that the archive exists, as SageMaker does before it accepts a model."""
    bucket, key = storage.split(uri)
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            raise invalid(f"Could not find model data at {uri}.") from error
        raise invalid(
            f'Could not access model data at {uri}. Please ensure that the role "{role}" exists and that its trust '
            f'relationship policy allows the action "sts:AssumeRole" for the service principal "{SERVICE}". Also '
            f'ensure that the role has "s3:GetObject" permissions and that the object is located in {caller.region}.'
        ) from error
