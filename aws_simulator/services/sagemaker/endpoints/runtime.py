"""sagemaker-runtime: the real model answers. Invocations are counted, and captured if this is configured."""

from __future__ import annotations

from typing import Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, Service, operation
from aws_simulator.services.cloudwatch import record
from aws_simulator.services.sagemaker.common import arn_of
from aws_simulator.services.sagemaker.endpoints.capture import Capture
from aws_simulator.services.sagemaker.endpoints.endpoint import Endpoint
from aws_simulator.services.sagemaker.endpoints.fleet import Answer, Fleet, FleetStoppedError
from aws_simulator.services.sagemaker.endpoints.operations import Endpoints
from aws_simulator.simulator import Simulator

TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
ANSWERING = ("InService", "Updating", "RollingBack")


class Runtime(Service):
    name = "sagemaker-runtime"
    prefix = "sagemaker"
    validation_error = "ValidationError"
    serial = False

    def __init__(self, simulator: Simulator, endpoints: Endpoints) -> None:
        super().__init__(simulator)
        self._endpoints = endpoints
        self._capture = Capture(simulator)

    @operation("arn:aws:sagemaker:{region}:{account}:endpoint/{EndpointName}")
    def invoke_endpoint(self, request: Request, caller: Caller) -> dict[str, Any]:
        endpoint = self._endpoints.endpoints.get(arn_of(caller, "endpoint", request["EndpointName"]))
        if endpoint is None or endpoint.status not in ANSWERING:
            message = f"Endpoint {request['EndpointName']} of account {caller.account} not found."
            raise ServiceError("ValidationError", message)
        target = request.get("TargetVariant", "")
        fleet = endpoint.chosen(target)
        if fleet is None:
            raise ServiceError("ValidationError", f"Variant {target} of endpoint {endpoint.name} not found.")
        try:
            answer = self._ask(endpoint, fleet, request, caller)
        except FleetStoppedError:  # an update has ended since the choice: the new fleet has the traffic
            return self.invoke_endpoint(request, caller)
        _count(endpoint, fleet, answer)
        if answer.status >= 400:
            raise _model_error(fleet, answer.status, answer.body.decode("utf-8", "replace"), caller)
        self._capture.keep(endpoint, fleet, request, answer)
        return {"Body": answer.body, "ContentType": answer.content_type, "InvokedProductionVariant": fleet.name}

    def _ask(self, endpoint: Endpoint, fleet: Fleet, request: Request, caller: Caller) -> Answer:
        sent = {
            "Content-Type": request.get("ContentType", "application/json"),
            "Accept": request.get("Accept"),
            "X-Amzn-SageMaker-Custom-Attributes": request.get("CustomAttributes"),
        }
        headers = {name: value for name, value in sent.items() if value}
        seconds = self._endpoints.pace.invocation
        try:
            return fleet.invoke(request["Body"], headers, seconds)
        except TimeoutError as error:
            _count(endpoint, fleet, Answer(500, "", b"", seconds))
            raise _model_error(fleet, 0, TIMED_OUT, caller) from error
        except OSError as error:
            _count(endpoint, fleet, Answer(500, "", b"", 0.0))
            raise ServiceError("ServiceUnavailable", f"The container does not answer: {error}", 503) from error


def _model_error(fleet: Fleet, status: int, original: str, caller: Caller) -> ServiceError:
    """Return the container's error in the runtime's form."""
    side = "client" if 400 <= status < 500 else "server"
    console = f"https://{caller.region}.console.aws.amazon.com/cloudwatch/home?region={caller.region}"
    message = (
        f'Received {side} error ({status}) from primary with message "{original}". See {console}#logEventViewer:group='
        f"{fleet.log_group} in account {caller.account} for more information."
    )
    log = f"arn:aws:logs:{caller.region}:{caller.account}:log-group:{fleet.log_group}"
    facts = {"OriginalStatusCode": status, "OriginalMessage": original, "LogStreamArn": log}
    return ServiceError("ModelError", message, 424, **facts)


def _count(endpoint: Endpoint, fleet: Fleet, answer: Answer) -> None:
    """Record the metrics of AWS/SageMaker by endpoint and variant, and also with the fleet's configuration."""
    variant = {"EndpointName": endpoint.name, "VariantName": fleet.name}
    for dimensions in (variant, {**variant, "EndpointConfigName": fleet.config.name}):
        record("Invocations", 1, "Count", **dimensions)
        record("InvocationsPerInstance", 1 / max(1, fleet.instances), "Count", **dimensions)
        record("Invocation4XXErrors", float(400 <= answer.status < 500), "Count", **dimensions)
        record("Invocation5XXErrors", float(answer.status >= 500), "Count", **dimensions)
        record("ModelLatency", answer.seconds * 1e6, "Microseconds", **dimensions)
