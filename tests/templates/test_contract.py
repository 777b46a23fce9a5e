"""The contract between CLI and stacks: every parameter and output that the CLI uses exists."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.infra.pipeline_template import as_sent
from mlops_cli.backends.aws.stack_outputs import OUTPUTS, from_stack
from mlops_cli.backends.aws.stages import endpoint_parameters
from mlops_cli.frameworks.tensorflow import FRAMEWORK as TENSORFLOW
from mlops_cli.project.usecase.instances import EndpointConfig
from tests.conftest import ROOT
from tests.templates.template import ENDPOINT, FOLDER, NAMES, VARIANTS, load, resolve, variant

AWS = ROOT / "mlops_cli" / "backends" / "aws"
SOURCES = {path.relative_to(AWS).as_posix(): path.read_text(encoding="utf-8") for path in AWS.rglob("*.py")}
# outputs["Name"], outputs.get("Name", …), required(…)["Name"]: outputs are the names with a capital.
READ = re.compile(r"(?:outputs|required\([^)]*\))(?:\[|\.get\()\"([A-Z]\w+)\"")
GIVEN = re.compile(r"\"([A-Z]\w+)\": ")
LONGEST_TEMPLATE = 1_000_000
PIPELINES = [name for name, (template, _) in VARIANTS.items() if template == "pipeline"]


def read_outputs() -> set[str]:
    return {name for text in SOURCES.values() for name in READ.findall(text)} | set(OUTPUTS.values())


def parameters(name: str) -> dict[str, dict[str, Any]]:
    return load(FOLDER / f"{name}.yaml")["Parameters"]


def test_the_parameters_and_outputs_in_the_code_are_found() -> None:
    text = 'stack.outputs["One"], outputs.get("Two", ""), self.required(x.y)["Three"], outputs["sha256"]'
    assert READ.findall(text) == ["One", "Two", "Three"]
    assert {"BucketName", "BucketOwned", "PipelineName", "EndpointName"} <= read_outputs()


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_output_that_is_read_is_there(pipeline: str) -> None:
    outputs = {**variant("storage").outputs, **variant(pipeline).outputs, **variant("endpoint").outputs}
    assert read_outputs() - set(outputs) == set()
    assert [name for name, value in outputs.items() if not value] == []


def test_every_parameter_that_is_given_is_declared_and_every_needed_one_is_given() -> None:
    passed = {
        *GIVEN.findall(SOURCES["infra/stack_parameters.py"]),
        *company_account.PARAMETERS.values(),
        company_account.ACCESS_TYPE,
        company_account.REPOSITORY,
    }
    declared = {**parameters("storage"), **parameters("pipeline")}
    needed = {name for name, parameter in declared.items() if "Default" not in parameter}
    assert (passed - set(declared), needed - passed) == (set(), set())


def test_each_deployment_changes_outputs_and_no_resource() -> None:
    """So each deployment is an update: CodePipeline fails for a stack without changes."""
    template = load(FOLDER / "endpoint.yaml")
    first, second = (resolve(template, {**ENDPOINT, "Deployment": digit * 16}) for digit in "01")
    assert first.resources == second.resources
    assert first.outputs != second.outputs


def deployed(hosting: EndpointConfig) -> dict[str, str]:
    site = from_stack(variant("pipeline-codecommit").outputs)
    parameters = endpoint_parameters.parameters(site, hosting, ENDPOINT["ModelPackageArn"], ENDPOINT["ModelDigest"])
    return endpoint_parameters.configuration(b"", parameters, {})["Parameters"]


@pytest.mark.parametrize(
    ("change", "resources"),
    [
        ({}, {"Model", "EndpointConfig", "Endpoint", "ServerErrors", "Latency"}),
        ({"max_instances": 3}, {"ScalingTarget", "Scaling"}),
        ({"serverless": True, "max_instances": 3}, {"Endpoint"}),
        ({"data_capture_percent": 50}, {"EndpointConfig"}),
    ],
)
def test_a_deployment_has_every_parameter_in_the_form_that_is_accepted(
    change: dict[str, Any], resources: set[str]
) -> None:
    resolved = resolve(load(FOLDER / "endpoint.yaml"), deployed(replace(EndpointConfig(), **change)))
    assert resources <= set(resolved.resources)


def test_a_parameter_that_is_not_declared_or_not_accepted_is_found() -> None:
    template = load(FOLDER / "endpoint.yaml")
    with pytest.raises(AssertionError, match="no such parameter: Instances"):
        resolve(template, {**ENDPOINT, "Instances": "1"})
    with pytest.raises(AssertionError, match="not accepted: Revision=x"):
        resolve(template, {**ENDPOINT, "Revision": "x"})
    with pytest.raises(AssertionError, match="no value for: Revision"):
        resolve(template, {name: value for name, value in ENDPOINT.items() if name != "Revision"})


def endpoint(name: str) -> dict[str, Any]:
    return variant(name).resources["Endpoint"]["Properties"]


def test_a_bad_deployment_is_rolled_back_by_the_alarms() -> None:
    alarms = variant("endpoint").of_type("AWS::CloudWatch::Alarm")
    deployment = endpoint("endpoint")["DeploymentConfig"]
    watched = deployment["AutoRollbackConfiguration"]["Alarms"]
    assert deployment["BlueGreenUpdatePolicy"]["TerminationWaitInSeconds"] == "300"
    assert {alarm["AlarmName"] for alarm in watched} == {alarm["AlarmName"] for alarm in alarms.values()}
    assert alarms["Latency"]["Threshold"] == "1000000"  # microseconds
    for alarm in alarms.values():
        dimensions = {dimension["Name"]: dimension["Value"] for dimension in alarm["Dimensions"]}
        served = {name: endpoint("endpoint")[name] for name in ("EndpointName", "EndpointConfigName")}
        assert dimensions == {**served, "VariantName": "AllTraffic"}, "of the new model alone"


def test_the_serving_image_passes_on_the_refusals_of_a_handler() -> None:
    """Containers before 2.20 answer 500 instead, and the alarm on 5XX would end every deployment."""
    assert tuple(int(part) for part in TENSORFLOW.serving.version.split(".")) >= (2, 20)


def test_a_serverless_endpoint_has_no_unsupported_property() -> None:
    resolved = variant("endpoint-serverless")
    (served,) = resolved.resources["EndpointConfig"]["Properties"]["ProductionVariants"]
    assert "InstanceType" not in served
    assert "DeploymentConfig" not in endpoint("endpoint-serverless")
    assert resolved.resources["Model"]["Properties"]["EnableNetworkIsolation"] is False


def test_another_model_has_another_name_behind_the_same_endpoint() -> None:
    template = load(FOLDER / "endpoint.yaml")
    first, second = (resolve(template, {**ENDPOINT, "Revision": revision}).resources for revision in ("0" * 8, "1" * 8))
    for name in ("Model", "EndpointConfig"):
        assert first[name]["Properties"] != second[name]["Properties"]
    assert first["Endpoint"]["Properties"]["EndpointName"] == second["Endpoint"]["Properties"]["EndpointName"]


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_used(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").partition("\nConditions:")[2]
    assert [
        parameter
        for parameter in parameters(name)
        if f"!Ref {parameter}" not in text and f"${{{parameter}}}" not in text
    ] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_template_can_be_sent(name: str) -> None:
    """The limit is that of a template in a bucket, because mlops sends long templates that way."""
    assert len(as_sent((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")).encode()) <= LONGEST_TEMPLATE


def test_of_an_existing_bucket_the_stack_has_only_the_name() -> None:
    existing = variant("storage-existing")
    assert {resource["Type"] for resource in existing.resources.values()} == {
        "AWS::CloudFormation::WaitConditionHandle"
    }
    assert existing.outputs == {"BucketName": "a-bucket", "BucketOwned": "false"}
