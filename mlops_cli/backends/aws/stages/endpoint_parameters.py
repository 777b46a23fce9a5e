"""The parameters of the endpoint's template for one deployment. No IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlops_cli.backends.aws.clients.model_registry import DEFAULT_CONTAINER, ServingContainer
from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.usecase.instances import EndpointConfig

REVISION_LENGTH = 8


def parameters(
    outputs: StackOutputs,
    hosting: EndpointConfig,
    package: str,
    digest: str,
    sample: float = 0.0,
    container: ServingContainer = DEFAULT_CONTAINER,
) -> dict[str, str]:
    """Return the endpoint template's parameters, except the revision, which is computed from them."""
    values: dict[str, Any] = {
        "EndpointName": outputs.endpoint,
        "ModelPackageArn": package,
        "ModelDigest": digest,
        "ModelRoleArn": outputs.model_role,
        "InstanceType": hosting.instance_type,
        "InstanceCount": hosting.instance_count,
        "MaxInstances": hosting.max_instances,
        "Serverless": str(hosting.serverless).lower(),
        "MemorySizeInMB": hosting.memory_mb,
        "MaxConcurrency": hosting.max_concurrency,
        "DataCapturePercent": hosting.data_capture_percent,
        "DataCaptureUri": f"s3://{outputs.bucket}/{outputs.prefix}capture/" if hosting.data_capture_percent else "",
        "P99LatencyMs": hosting.p99_latency_ms,
        "BakingSeconds": hosting.baking_seconds,
        "Sample": f"{sample:g}",
        "Program": container.program,
        "Isolated": str(not container.needs_network).lower(),
    }
    return {name: str(value) for name, value in values.items()} | outputs.company.endpoint_parameters(hosting)


def configuration(
    template: bytes, values: Mapping[str, str], tags: Mapping[str, str], salt: str = "", deployment: str = "-"
) -> dict[str, dict[str, str]]:
    """Return CloudFormation's template configuration. The same content has the same revision for the same ``salt``.

    ``deployment`` changes only the stack's outputs.
    """
    whole = template + json.dumps([dict(values), salt], sort_keys=True).encode()
    return {
        "Parameters": {**values, "Revision": digest_bytes(whole)[:REVISION_LENGTH], "Deployment": deployment},
        "Tags": dict(tags),
    }
