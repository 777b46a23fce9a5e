"""The parameters of the endpoint's template equal those that the template declares."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from mlops_cli.backends.aws.stack_outputs import OUTPUTS, StackOutputs
from mlops_cli.backends.aws.stages.endpoint_parameters import configuration, parameters
from mlops_cli.project.usecase.instances import EndpointConfig
from tests.conftest import ROOT

SITE = StackOutputs(**{**dict.fromkeys(OUTPUTS, "x"), "bucket": "b", "prefix": "tiny-dev/", "endpoint": "tiny-dev"})
PACKAGE = "arn:aws:sagemaker:us-east-1:000000000000:model-package/tiny-dev/1"
DIGEST = "ab" * 32


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms."""


Template.add_multi_constructor("!", lambda loader, suffix, node: suffix)
TEMPLATE = (ROOT / "templates" / "endpoint.yaml").read_bytes()


def template_parameters() -> dict[str, Any]:
    return dict(yaml.load(TEMPLATE, Template)["Parameters"])


@pytest.mark.parametrize(
    "hosting",
    [
        EndpointConfig(),
        EndpointConfig(serverless=True, memory_mb=4096, max_concurrency=20),
        EndpointConfig("ml.c6i.xlarge", 2, 6, data_capture_percent=10, p99_latency_ms=250, baking_seconds=0),
    ],
)
def test_the_template_takes_every_parameter_as_it_is_given(hosting: EndpointConfig) -> None:
    arguments = configuration(TEMPLATE, parameters(SITE, hosting, PACKAGE, DIGEST), {})["Parameters"]
    declared = template_parameters()
    assert arguments.keys() <= declared.keys()
    assert {name for name, parameter in declared.items() if "Default" not in parameter} <= arguments.keys()
    for name, value in arguments.items():
        assert re.search(declared[name].get("AllowedPattern", ""), value), name
        assert value in map(str, declared[name].get("AllowedValues", [value])), name


@pytest.mark.parametrize("sample", [0.0, 1.0, 0.1, 0.005, 0.00001, 0.000025])
def test_every_share_of_requests_fits_the_template(sample: float) -> None:
    arguments = parameters(SITE, EndpointConfig(), PACKAGE, DIGEST, sample)["Sample"]
    assert re.search(template_parameters()["Sample"]["AllowedPattern"], arguments), arguments
    assert float(arguments) == sample


def test_only_equal_deployments_have_equal_revisions() -> None:
    def revision(template: bytes = TEMPLATE, salt: str = "", **changes: Any) -> str:
        arguments = parameters(SITE, EndpointConfig(**changes), PACKAGE, DIGEST)
        return configuration(template, arguments, {}, salt)["Parameters"]["Revision"]

    sampled = configuration(TEMPLATE, parameters(SITE, EndpointConfig(), PACKAGE, DIGEST, 0.1), {})["Parameters"]
    assert sampled["Sample"] == "0.1"
    assert sampled["Revision"] != revision()
    differing = [revision(TEMPLATE + b"#"), revision(instance_count=2, max_instances=2), revision(salt="run")]
    arguments = parameters(SITE, EndpointConfig(), PACKAGE, DIGEST)
    repeated = configuration(TEMPLATE, arguments, {}, deployment="0123456789abcdef")["Parameters"]
    assert (repeated["Revision"], repeated["Deployment"]) == (revision(), "0123456789abcdef")
    assert revision() == revision()
    assert len({revision(), *differing}) == 4


def test_the_stack_is_tagged() -> None:
    tags = {"mlops:project": "tiny"}
    assert configuration(b"", {}, tags)["Tags"] == tags
