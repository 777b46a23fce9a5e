"""The operations on endpoints."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation
from aws_simulator.services.cloudwatch import Alarms
from aws_simulator.services.sagemaker.common import arn_of, invalid, listing, now, require_tagging
from aws_simulator.services.sagemaker.endpoints.endpoint import Endpoint, alarm_names
from aws_simulator.services.sagemaker.endpoints.endpoint_configs import EndpointConfig
from aws_simulator.services.sagemaker.endpoints.fleet import Fleet
from aws_simulator.services.sagemaker.jobs.training import assume_role
from aws_simulator.services.sagemaker.pace import Pace

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.endpoints.endpoint_configs import EndpointConfigs as Base
else:
    Base = object

ENDPOINT = "arn:aws:sagemaker:{region}:{account}:endpoint/{EndpointName}"
CONFIG = "arn:aws:sagemaker:{region}:{account}:endpoint-config/{EndpointConfigName}"


class Endpoints(Base):
    pace: Pace

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.endpoints: dict[str, Endpoint] = {}
        self.alarms = Alarms()
        self.threads: list[threading.Thread] = []

    @operation(ENDPOINT, CONFIG)
    def create_endpoint(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "endpoint", request["EndpointName"])
        require_tagging(request, arn, caller)
        if arn in self.endpoints:
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self.endpoint_config(request["EndpointConfigName"], caller)
        self._check_instances(config)
        deployment = request.get("DeploymentConfig", {})
        endpoint = Endpoint(request["EndpointName"], arn, config, deployment, self.pace, self.alarms)
        self.endpoints[arn] = endpoint
        self.tag(arn, request.get("Tags"))
        self._background(endpoint.create, self._fleets(endpoint.name, config, caller))
        return {"EndpointArn": arn}

    def _check_instances(self, config: EndpointConfig) -> None:
        for variant in config.variants:
            kind = variant.get("InstanceType")
            live = [fleet for endpoint in self.endpoints.values() for fleet in endpoint.fleets]
            used = sum(fleet.instances for fleet in live if fleet.variant.get("InstanceType") == kind)
            if kind:
                self.pace.require_quota(f"{kind} for endpoint usage", used, variant["InitialInstanceCount"])

    def _fleets(self, name: str, config: EndpointConfig, caller: Caller) -> list[Fleet]:
        return [
            Fleet(self.simulator, self.pace, name, config, variant, self.model_named(variant["ModelName"], caller))
            for variant in config.variants
        ]

    @operation(ENDPOINT, CONFIG)
    def update_endpoint(self, request: Request, caller: Caller) -> dict[str, Any]:
        endpoint = self.endpoint_named(request["EndpointName"], caller)
        config = self.endpoint_config(request["EndpointConfigName"], caller)
        if endpoint.status != "InService":
            in_progress = f'Cannot update in-progress endpoint "{endpoint.arn}".'
            failed = f'Cannot update endpoint "{endpoint.arn}" in status Failed. It can only be deleted.'
            raise invalid(failed if endpoint.status == "Failed" else in_progress)
        self._check_instances(config)
        self._check_scaling(endpoint, config)
        retained = endpoint.deployment if request.get("RetainDeploymentConfig") else {}
        deployment = request.get("DeploymentConfig", retained)
        fleets = self._fleets(endpoint.name, config, caller)
        self._check_alarms(deployment, fleets[0])
        _retain(request, endpoint, fleets)
        endpoint.deployment = dict(deployment)
        endpoint.pending, endpoint.pending_since = fleets, now()
        endpoint.enter("Updating")
        self._background(endpoint.update, config, fleets, deployment)
        return {"EndpointArn": endpoint.arn}

    def _check_scaling(self, endpoint: Endpoint, config: EndpointConfig) -> None:
        scaling: Any = self.simulator.services["application-autoscaling"]
        new = {variant["VariantName"]: variant.get("InstanceType") for variant in config.variants}
        for fleet in endpoint.fleets:
            resource = f"endpoint/{endpoint.name}/variant/{fleet.name}"
            if scaling.is_scaled(resource) and new.get(fleet.name) != fleet.variant.get("InstanceType"):
                message = (
                    f"The variant {fleet.name} is registered with Application Auto Scaling ({resource}): deregister"
                )
                raise invalid(f"{message} it before you remove it or change its instance type.")

    def _check_alarms(self, deployment: Mapping[str, Any], fleet: Fleet) -> None:
        """Require that the alarms exist and that the model's role may read them."""
        for name in alarm_names(deployment):
            if not self.alarms.state(name, assume_role(fleet.model.role)):
                raise invalid(f"The alarm {name} of AutoRollbackConfiguration does not exist.")

    @operation(ENDPOINT)
    def update_endpoint_weights_and_capacities(self, request: Request, caller: Caller) -> dict[str, Any]:
        endpoint = self.endpoint_named(request["EndpointName"], caller)
        if endpoint.status != "InService":
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        for wish in request["DesiredWeightsAndCapacities"]:
            fleet = endpoint.chosen(wish["VariantName"])
            if fleet is None:
                raise invalid(f"The endpoint has no variant {wish['VariantName']}.")
            fleet.instances = wish.get("DesiredInstanceCount", fleet.instances)
            fleet.weight = wish.get("DesiredWeight", fleet.weight)
        return {"EndpointArn": endpoint.arn}

    @operation(ENDPOINT)
    def describe_endpoint(self, request: Request, caller: Caller) -> dict[str, Any]:
        endpoint = self.endpoint_named(request["EndpointName"], caller)
        capture = endpoint.config.request.get("DataCaptureConfig")
        return {
            **_summary(endpoint),
            "EndpointConfigName": endpoint.config.name,
            **({"ProductionVariants": [_variant(fleet) for fleet in endpoint.fleets]} if endpoint.fleets else {}),
            **({"FailureReason": endpoint.failure_reason} if endpoint.failure_reason else {}),
            **({"LastDeploymentConfig": endpoint.last_deployment} if endpoint.last_deployment else {}),
            **({"PendingDeploymentSummary": _pending(endpoint)} if endpoint.pending else {}),
            **({"DataCaptureConfig": _capture(capture)} if capture else {}),
        }

    @operation()
    def list_endpoints(self, request: Request, caller: Caller) -> dict[str, Any]:
        prefix = arn_of(caller, "endpoint", "")
        rows = [_summary(endpoint) for arn, endpoint in self.endpoints.items() if arn.startswith(prefix)]
        return listing(rows, request, "Endpoints", "EndpointName", "EndpointStatus")

    @operation(ENDPOINT)
    def delete_endpoint(self, request: Request, caller: Caller) -> None:
        endpoint = self.endpoint_named(request["EndpointName"], caller)
        if endpoint.status not in ("InService", "Failed"):
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        endpoint.enter("Deleting")
        self._background(endpoint.delete, lambda: self._forget(endpoint.arn))

    def _forget(self, arn: str) -> None:
        self.endpoints.pop(arn, None)
        self.tags.pop(arn, None)

    def endpoint_named(self, name: str, caller: Caller) -> Endpoint:
        arn = arn_of(caller, "endpoint", name)
        endpoint = self.endpoints.get(arn)
        if endpoint is None:
            raise invalid(f'Could not find endpoint "{arn}".')
        return endpoint

    def _background(self, act: Callable[..., Any], *arguments: Any) -> None:
        self.threads = [thread for thread in self.threads if thread.is_alive()]
        self.threads.append(self.simulator.background(act, *arguments))

    def age(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-age``: make an endpoint, and its last change, so many days older."""
        endpoint_ = next(endpoint for endpoint in self.endpoints.values() if endpoint.name == arguments["endpoint"])
        endpoint_.created -= datetime.timedelta(days=arguments["days"])
        endpoint_.modified -= datetime.timedelta(days=arguments["days"])

    def clear_endpoints(self) -> None:
        for thread in self.threads:
            thread.join()
        for endpoint in self.endpoints.values():
            endpoint.delete(lambda: None)
        self.endpoints.clear()


def _retain(request: Request, endpoint: Endpoint, fleets: list[Fleet]) -> None:
    """RetainAllVariantProperties: keep what scaling or a person has set through the update."""
    excluded = [property_["VariantPropertyType"] for property_ in request.get("ExcludeRetainedVariantProperties", [])]
    for fleet in fleets if request.get("RetainAllVariantProperties") else []:
        old = next((former for former in endpoint.fleets if former.name == fleet.name), fleet)
        fleet.instances = fleet.instances if "DesiredInstanceCount" in excluded else old.instances
        fleet.weight = fleet.weight if "DesiredWeight" in excluded else old.weight


def _summary(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
        "EndpointStatus": endpoint.status,
    }


def _variant(fleet: Fleet) -> dict[str, Any]:
    (container,) = fleet.model.containers
    image = {"SpecifiedImage": container["Image"], "ResolvedImage": container["Image"]}
    serverless = fleet.variant.get("ServerlessConfig")
    counts = {"CurrentInstanceCount": fleet.instances, "DesiredInstanceCount": fleet.instances}
    return {
        "VariantName": fleet.name,
        "DeployedImages": [image],
        "CurrentWeight": fleet.weight,
        "DesiredWeight": fleet.weight,
        **({"CurrentServerlessConfig": serverless} if serverless else counts),
        **({"VariantStatus": [_status(fleet)]} if fleet.status else {}),
    }


def _status(fleet: Fleet) -> dict[str, Any]:
    count = f"{fleet.instances} instance(s)."
    messages = {
        "Creating": f"Launching {count}",
        "ActivatingTraffic": f"Activating traffic on full capacity of {count}",
        "Baking": f"Baking (TerminationWaitInSeconds) with traffic enabled on full capacity of {count}",
    }
    return {"Status": fleet.status, "StatusMessage": messages[fleet.status]}


def _pending(endpoint: Endpoint) -> dict[str, Any]:
    variants = [_variant(fleet) for fleet in endpoint.pending]
    started = {"StartTime": endpoint.pending_since} if endpoint.pending_since else {}
    return {"EndpointConfigName": endpoint.pending[0].config.name, "ProductionVariants": variants, **started}


def _capture(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "EnableCapture": config.get("EnableCapture", True),
        "CaptureStatus": "Started" if config.get("EnableCapture", True) else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
