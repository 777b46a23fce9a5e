"""What the endpoint's template is given: the parameters of one deployment. No IO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mlops_cli.backends.aws.stack_outputs import StackOutputs
from mlops_cli.files.hashing import digest_bytes
from mlops_cli.project.instances import EndpointConfig

REVISION_LENGTH = 8


def parameters(
    site: StackOutputs, hosting: EndpointConfig, package: str, digest: str, sample: float = 0.0
) -> dict[str, str]:
    """The endpoint template's parameters but for the revision, which is made from them."""
    values: dict[str, Any] = {
        "EndpointName": site.endpoint,
        "ModelPackageArn": package,
        "ModelDigest": digest,
        "ModelRoleArn": site.model_role,
        "InstanceType": hosting.instance_type,
        "InstanceCount": hosting.instance_count,
        "MaxInstances": hosting.max_instances,
        "Serverless": str(hosting.serverless).lower(),
        "MemorySizeInMB": hosting.memory_mb,
        "MaxConcurrency": hosting.max_concurrency,
        "DataCapturePercent": hosting.data_capture_percent,
        "DataCaptureUri": f"s3://{site.bucket}/{site.prefix}capture/" if hosting.data_capture_percent else "",
        "P99LatencyMs": hosting.p99_latency_ms,
        "BakingSeconds": hosting.baking_seconds,
        "Sample": f"{sample:g}",
    }
    return {name: str(value) for name, value in values.items()}


def configuration(
    template: bytes, values: Mapping[str, str], tags: Mapping[str, str], salt: str = ""
) -> dict[str, dict[str, str]]:
    """CloudFormation's template configuration. The same content has the same revision, unless ``salt`` is another."""
    whole = template + json.dumps([dict(values), salt], sort_keys=True).encode()
    return {
        "Parameters": {**values, "Revision": digest_bytes(whole)[:REVISION_LENGTH]},
        "Tags": dict(tags),
    }
