"""Endpoint configurations: models, their instances, and the captured share of the traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aws_simulator.permissions.networks import require_grant
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation
from aws_simulator.services.sagemaker.common import SERVICE, arn_of, echoed, invalid, listing, now, require_tagging

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.models import Models as Base
else:
    Base = object

ARN = "arn:aws:sagemaker:{region}:{account}:endpoint-config/{EndpointConfigName}"


@dataclass
class EndpointConfig:
    arn: str
    request: Request
    created: Any = field(default_factory=now)

    @property
    def name(self) -> str:
        return str(self.request["EndpointConfigName"])

    @property
    def variants(self) -> list[Mapping[str, Any]]:
        return list(self.request["ProductionVariants"])

    @property
    def capture(self) -> Mapping[str, Any]:
        """Return the DataCaptureConfig; empty if nothing is captured."""
        capture: Mapping[str, Any] = self.request.get("DataCaptureConfig", {})
        return capture if capture.get("EnableCapture", True) else {}

    def summary(self) -> dict[str, Any]:
        return {"EndpointConfigName": self.name, "EndpointConfigArn": self.arn, "CreationTime": self.created}


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of sagemaker:CreateEndpointConfig."""
    types = [variant["InstanceType"] for variant in request["ProductionVariants"] if "InstanceType" in variant]
    key = request.get("KmsKeyId")
    return {
        **({"sagemaker:InstanceTypes": types} if types else {}),
        **({"sagemaker:VolumeKmsKey": key} if key else {}),
    }


class EndpointConfigs(Base):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.endpoint_configs: dict[str, EndpointConfig] = {}

    @operation(ARN, passes={"ExecutionRoleArn": SERVICE}, context=conditions)
    def create_endpoint_config(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "endpoint-config", request["EndpointConfigName"])
        require_tagging(request, arn, caller)
        if arn in self.endpoint_configs:
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in request["ProductionVariants"]:
            self._check_variant(variant, request, caller)
        if "KmsKeyId" in request:
            caller.require("kms:DescribeKey", request["KmsKeyId"])
            require_grant(caller, request["KmsKeyId"])
        self.endpoint_configs[arn] = EndpointConfig(arn, request)
        self.tag(arn, request.get("Tags"))
        return {"EndpointConfigArn": arn}

    def _check_variant(self, variant: Mapping[str, Any], request: Request, caller: Caller) -> None:
        """Refuse requests beyond the model's rules, and features that serverless inference lacks."""
        if "ModelName" not in variant:
            raise invalid("ModelName is required.")
        model = self.model_named(variant["ModelName"], caller)
        if "ServerlessConfig" not in variant:
            if "InstanceType" not in variant or "InitialInstanceCount" not in variant:
                raise invalid("InstanceType and InitialInstanceCount are required without a ServerlessConfig.")
            return
        lacking = {
            "InstanceType": "InstanceType" in variant,
            "Network isolation": bool(model.request.get("EnableNetworkIsolation")),
            "VpcConfig": "VpcConfig" in model.request,
            "DataCaptureConfig": bool(request.get("DataCaptureConfig")),
            "More than one production variant": len(request["ProductionVariants"]) > 1,
        }
        for feature, is_requested in lacking.items():
            if is_requested:
                raise invalid(f"{feature} is not supported for serverless endpoints.")

    @operation(ARN)
    def describe_endpoint_config(self, request: Request, caller: Caller) -> dict[str, Any]:
        config = self.endpoint_config(request["EndpointConfigName"], caller)
        shape = self.shape("DescribeEndpointConfigOutput")
        return {**echoed(config.request, shape), "EndpointConfigArn": config.arn, "CreationTime": config.created}

    @operation()
    def list_endpoint_configs(self, request: Request, caller: Caller) -> dict[str, Any]:
        prefix = arn_of(caller, "endpoint-config", "")
        rows = [config.summary() for arn, config in self.endpoint_configs.items() if arn.startswith(prefix)]
        return listing(rows, request, "EndpointConfigs", "EndpointConfigName")

    @operation(ARN)
    def delete_endpoint_config(self, request: Request, caller: Caller) -> None:
        config = self.endpoint_config(request["EndpointConfigName"], caller)
        del self.endpoint_configs[config.arn]
        self.tags.pop(config.arn, None)

    def endpoint_config(self, name: str, caller: Caller) -> EndpointConfig:
        arn = arn_of(caller, "endpoint-config", name)
        config = self.endpoint_configs.get(arn)
        if config is None:
            raise invalid(f'Could not find endpoint configuration "{arn}".')
        return config
