"""The SageMaker endpoint: its state, the model that it serves, and its responses."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.s3 import Bucket
from mlops_cli.backends.aws.errors import AwsError, or_none
from mlops_cli.core.endpoint import Endpoint, EndpointState, InvocationResponse
from mlops_cli.errors import NoEndpointError
from mlops_cli.monitoring.statistics import EXCLUDE_FROM_STATISTICS

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# Set by templates/endpoint.yaml for the model's handlers.
SAMPLE = "MLOPS_SAMPLE"
STATES = {
    "InService": EndpointState.IN_SERVICE,
    "OutOfService": EndpointState.FAILED,
    "Failed": EndpointState.FAILED,
    "UpdateRollbackFailed": EndpointState.FAILED,
    **dict.fromkeys(CHANGING, EndpointState.UPDATING),
}


@dataclass(frozen=True)
class DeployedModel:
    """The deployed model. ``digest``: the SHA-256 checksum by S3; empty if the file is not below our prefix.

    ``sample``: the share of requests that is measured. ``is_unknown``: the endpoint serves a model whose configuration,
    model or model package was deleted, for example after a rollback that CloudFormation reports as a success.
    """

    configuration: str
    package: str = ""
    run_id: str = ""
    digest: str = ""
    sample: float = 0.0
    is_unknown: bool = False


class SageMakerEndpoint:
    def __init__(self, account: Account, name: str, bucket: Bucket) -> None:
        self._account = account
        self._client = account.client("sagemaker")
        self._bucket = bucket
        self.name = name

    @property
    def url(self) -> str:
        runtime = self._account.client("sagemaker-runtime").raw.meta.endpoint_url
        return f"{runtime}/endpoints/{self.name}/invocations"

    def describe(self) -> dict[str, Any] | None:
        """Return SageMaker's description of the endpoint; None if it does not exist."""
        description: dict[str, Any] | None = or_none(self._client.describe_endpoint, EndpointName=self.name)
        return description

    def status(self, approved_digest: str) -> Endpoint:
        description = self.describe()
        if description is None:
            return Endpoint(self.name, EndpointState.ABSENT, approved_digest=approved_digest, reason="There is none.")
        return Endpoint(
            self.name,
            STATES[description["EndpointStatus"]],
            self.url,
            self.deployed_model(description).digest,
            approved_digest,
            description["LastModifiedTime"].isoformat(),
            description.get("FailureReason", ""),
        )

    def deployed_model(self, description: dict[str, Any] | None = None) -> DeployedModel:
        """Find the file in S3 and its checksum through the endpoint, its configuration, model and model package."""
        description = description or self.describe() or {}
        configuration = description.get("EndpointConfigName", "")
        if not configuration:
            return DeployedModel("")
        try:
            variants = self._client.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"]
            container = self._client.describe_model(ModelName=variants[0]["ModelName"]).get("PrimaryContainer", {})
            package = container.get("ModelPackageName", "")
            sample = float(container.get("Environment", {}).get(SAMPLE) or 0)
            return self._of_package(configuration, package, sample) if package else DeployedModel(configuration)
        except AwsError as error:
            if not error.is_not_found:
                raise
            return DeployedModel(configuration, is_unknown=True)

    def _of_package(self, configuration: str, package: str, sample: float) -> DeployedModel:
        description = self._client.describe_model_package(ModelPackageName=package)
        uri = description["InferenceSpecification"]["Containers"][0].get("ModelDataUrl", "")
        ours = uri.startswith(self._bucket.uri())
        metadata = self._bucket.metadata(self._bucket.key_of(uri)) if ours else None
        run_id = description.get("CustomerMetadataProperties", {}).get("run", "")
        return DeployedModel(configuration, package, run_id, metadata.checksum if metadata else "", sample)

    def invoke(self, body: bytes, content_type: str) -> tuple[InvocationResponse, str]:
        """Send one request, which statistics exclude. Return the model's response or error, and its content type."""
        start = time.perf_counter()
        runtime = self._account.client("sagemaker-runtime")
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=self.name, Body=body, ContentType=content_type, CustomAttributes=EXCLUDE_FROM_STATISTICS
            )
            with runtime.reading():
                content = bytes(answer["Body"].read())
            return InvocationResponse(200, content, time.perf_counter() - start), answer.get("ContentType", "")
        except AwsError as error:
            return self._invocation_error(error, time.perf_counter() - start)

    def _invocation_error(self, error: AwsError, seconds: float) -> tuple[InvocationResponse, str]:
        """Return the container's error response unchanged. Raise any other error."""
        response = getattr(error.__cause__, "response", {})
        if error.code == "ModelError":
            body = str(response.get("OriginalMessage", error.aws_message)).encode()
            return InvocationResponse(int(response.get("OriginalStatusCode", 500)), body, seconds), "application/json"
        if error.is_not_found:
            raise NoEndpointError(self.name) from error
        if error.code in ("ValidationError", "ValidationException"):
            return InvocationResponse(400, error.aws_message.encode(), seconds), "text/plain"
        raise error
