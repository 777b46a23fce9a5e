"""The SageMaker endpoint as the commands see it: its state, what it really serves, its answers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.bucket import Bucket
from mlops_cli.backends.aws.refusals import AwsError
from mlops_cli.backends.base import Answer, Endpoint, EndpointState
from mlops_cli.errors import EXIT_STAGE_FAILED, MlopsError
from mlops_cli.observations import UNOBSERVED

CHANGING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
# What templates/endpoint.yaml tells the model's handlers.
SAMPLE = "MLOPS_SAMPLE"
STATES = {
    "InService": EndpointState.IN_SERVICE,
    "OutOfService": EndpointState.FAILED,
    "Failed": EndpointState.FAILED,
    "UpdateRollbackFailed": EndpointState.FAILED,
    **dict.fromkeys(CHANGING, EndpointState.UPDATING),
}


@dataclass(frozen=True)
class Live:
    """What is behind an endpoint. ``digest`` is what S3 itself says of the file, empty if it is not one of ours.

    ``sample`` is the share of requests that is measured.
    """

    configuration: str
    package: str = ""
    run_id: str = ""
    digest: str = ""
    sample: float = 0.0


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
        """What SageMaker says of the endpoint, None when there is none."""
        try:
            return dict(self._client.describe_endpoint(EndpointName=self.name))
        except AwsError as error:
            if error.code == "ValidationException" and "Could not find" in error.said:
                return None
            raise

    def status(self, approved_digest: str) -> Endpoint:
        found = self.describe()
        if found is None:
            return Endpoint(self.name, EndpointState.ABSENT, approved_digest=approved_digest, reason="There is none.")
        return Endpoint(
            self.name,
            STATES[found["EndpointStatus"]],
            self.url,
            self.live(found).digest,
            approved_digest,
            found["LastModifiedTime"].isoformat(),
            found.get("FailureReason", ""),
        )

    def live(self, found: dict[str, Any] | None = None) -> Live:
        """From the endpoint over configuration, model and model package to the file in S3 and its checksum."""
        found = found or self.describe() or {}
        configuration = found.get("EndpointConfigName", "")
        if not configuration:
            return Live("")
        variants = self._client.describe_endpoint_config(EndpointConfigName=configuration)["ProductionVariants"]
        model = self._client.describe_model(ModelName=variants[0]["ModelName"])
        container = model.get("PrimaryContainer", {})
        package = container.get("ModelPackageName", "")
        sample = float(container.get("Environment", {}).get(SAMPLE) or 0)
        return self._of_package(configuration, package, sample) if package else Live(configuration)

    def _of_package(self, configuration: str, package: str, sample: float) -> Live:
        found = self._client.describe_model_package(ModelPackageName=package)
        uri = found["InferenceSpecification"]["Containers"][0].get("ModelDataUrl", "")
        ours = uri.startswith(self._bucket.uri())
        facts = self._bucket.facts(self._bucket.key_of(uri)) if ours else None
        run_id = found.get("CustomerMetadataProperties", {}).get("run", "")
        return Live(configuration, package, run_id, facts.checksum if facts else "", sample)

    def ask(self, body: bytes, content_type: str) -> tuple[Answer, str]:
        """One request, which is not measured; gives the answer, refusals of the model included, and its type."""
        start = time.perf_counter()
        runtime = self._account.client("sagemaker-runtime")
        try:
            answer = runtime.invoke_endpoint(
                EndpointName=self.name, Body=body, ContentType=content_type, CustomAttributes=UNOBSERVED
            )
            with runtime.reading():
                content = bytes(answer["Body"].read())
            return Answer(200, content, time.perf_counter() - start), answer.get("ContentType", "")
        except AwsError as error:
            return self._refusal(error, time.perf_counter() - start)

    def _refusal(self, error: AwsError, seconds: float) -> tuple[Answer, str]:
        """What the model's container has refused, as it said it; all else is an error of ours."""
        response = getattr(error.__cause__, "response", {})
        if error.code == "ModelError":
            said = str(response.get("OriginalMessage", error.said)).encode()
            return Answer(int(response.get("OriginalStatusCode", 500)), said, seconds), "application/json"
        if error.code in ("ValidationError", "ValidationException") and "not found" in error.said:
            raise MlopsError(
                f"There is no endpoint {self.name}.", "Train and approve a model: mlops run", EXIT_STAGE_FAILED
            ) from error
        if error.code in ("ValidationError", "ValidationException"):
            return Answer(400, error.said.encode(), seconds), "text/plain"
        raise error
