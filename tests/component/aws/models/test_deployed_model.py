"""The model of an endpoint, from SageMaker's resources."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mlops_cli.backends.aws.clients.endpoint import DeployedModel, SageMakerEndpoint
from mlops_cli.backends.aws.errors import AwsError
from mlops_cli.core.endpoint import EndpointState

DESCRIPTION = {
    "EndpointStatus": "InService",
    "EndpointConfigName": "tiny-dev-01234567",
    "LastModifiedTime": SimpleNamespace(isoformat=lambda: "2026-11-20T00:00:00"),
}
CONTAINER = {"ModelPackageName": "arn:aws:sagemaker:us-east-1:000000000000:model-package/tiny-dev/1"}


def missing(kind: str) -> Any:
    def refuse(**_: Any) -> Any:
        message = f'Could not find {kind} "arn:aws:sagemaker:us-east-1:000000000000:{kind}/tiny-dev-01234567".'
        raise AwsError(message, "", code="ValidationException", aws_message=message)

    return refuse


@pytest.mark.parametrize("gone", ["endpoint configuration", "model", "model package"])
def test_an_endpoint_with_deleted_parts_serves_an_unknown_model(gone: str) -> None:
    variants = {"ProductionVariants": [{"ModelName": "tiny-dev-01234567"}]}
    client = SimpleNamespace(
        describe_endpoint=lambda **_: DESCRIPTION,
        describe_endpoint_config=missing(gone) if gone == "endpoint configuration" else lambda **_: variants,
        describe_model=missing(gone) if gone == "model" else lambda **_: {"PrimaryContainer": CONTAINER},
        describe_model_package=missing(gone),
        raw=SimpleNamespace(meta=SimpleNamespace(endpoint_url="https://runtime")),
    )
    account: Any = SimpleNamespace(client=lambda _: client)
    endpoint = SageMakerEndpoint(account, "tiny-dev", SimpleNamespace())  # type: ignore[arg-type]
    assert endpoint.deployed_model() == DeployedModel("tiny-dev-01234567", is_unknown=True)
    status = endpoint.status("a" * 64)
    assert (status.state, status.live_digest) == (EndpointState.IN_SERVICE, "")
