"""The real templates as stacks in the simulated AWS: created, updated and deleted with each role's permissions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aws_simulator.fixture import REGION, Aws
from tests.templates.references.handlers import FURTHER, permissions_of_handlers
from tests.templates.stacks import NAMES, Failed, Stacks
from tests.templates.template import CONNECTION, FOLDER, VARIANTS, load, variant

pytestmark = pytest.mark.slow
SERVING = {
    "ServingImage": f"763104351884.dkr.ecr.{REGION}.amazonaws.com/tensorflow-inference:2.20-cpu",
    "ServingRepository": f"{REGION}:763104351884:repository/tensorflow-inference",
}
GIVEN = (*CONNECTION, "NotificationEmail", "TriggerOnUpload")


@pytest.fixture
def stacks(aws: Aws) -> Stacks:
    return Stacks(aws)


# A company's key and network are made in tests/e2e/aws/test_aws_company.py.
@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith("pipeline") and "company" not in name])
def test_the_pipeline_comes_to_be_from_each_source(stacks: Stacks, name: str) -> None:
    _, parameters = VARIANTS[name]
    outputs = stacks.pipeline(**{key: value for key, value in parameters.items() if key in GIVEN})
    expected = variant(name)
    assert set(outputs) == set(expected.outputs)
    assert set(stacks.resources(NAMES.pipeline_stack)) == set(expected.resources)
    assert stacks.aws.denials() == []
    stacks.rest()


def test_an_existing_bucket_is_used_and_survives(stacks: Stacks) -> None:
    s3 = stacks.aws.client("s3")
    s3.create_bucket(Bucket="theirs")
    s3.put_object(Bucket="theirs", Key="k", Body=b"x")
    outputs = stacks.storage(CreateBucket="false", BucketName="theirs")
    assert outputs == {"BucketName": "theirs", "BucketOwned": "false"}
    assert stacks.delete(NAMES.storage_stack) == "DELETE_COMPLETE"
    assert s3.get_object(Bucket="theirs", Key="k")["Body"].read() == b"x"


class Deployment:
    """A pipeline stack, and the tiny use case's approved model for its endpoint stack."""

    def __init__(self, stacks: Stacks, model: Path, scratch: Path) -> None:
        self.stacks = stacks
        self.outputs = stacks.pipeline(SourceType="s3", **SERVING)
        self.package, self.digest = stacks.model(self.outputs, model, scratch / "model.tar.gz")
        role = stacks.resources(NAMES.pipeline_stack)["DeployRole"]
        self.role = stacks.aws.client("iam").get_role(RoleName=role)["Role"]["Arn"]

    def __call__(self, revision: str, **parameters: str) -> dict[str, str]:
        values = {
            "EndpointName": self.outputs["EndpointName"],
            "Revision": revision * 8,
            "ModelPackageArn": self.package,
            "ModelDigest": self.digest,
            "ModelRoleArn": self.outputs["ModelRoleArn"],
            "DataCaptureUri": f"s3://{self.outputs['BucketName']}/{self.outputs['KeyPrefix']}capture/",
            "BakingSeconds": "0",
            "SubnetIds": "",
            "SecurityGroupIds": "",
        }
        return self.stacks.deploy(NAMES.endpoint_stack, "endpoint", {**values, **parameters}, self.role)

    def ask(self, text: str) -> Any:
        """Return the tiny model's prediction: the text's length."""
        body = json.dumps({"instances": [text]})
        runtime = self.stacks.aws.client("sagemaker-runtime")
        name = self.outputs["EndpointName"]
        answer = runtime.invoke_endpoint(EndpointName=name, Body=body, ContentType="application/json")
        return json.loads(answer["Body"].read())["predictions"][0]["long"]

    def models(self) -> list[str]:
        return [model["ModelName"] for model in self.stacks.aws.client("sagemaker").list_models()["Models"]]


@pytest.fixture
def deploy(stacks: Stacks, tiny_model: Path, tmp_path: Path) -> Deployment:
    return Deployment(stacks, tiny_model, tmp_path)


def test_an_endpoint_is_made_changed_and_removed_with_the_deploy_roles_permissions(deploy: Deployment) -> None:
    aws, stacks = deploy.stacks.aws, deploy.stacks
    assert deploy("0")["ModelDigest"] == deploy.digest
    assert deploy.ask("four") == 4.0
    deploy("1", MaxInstances="3", DataCapturePercent="100")
    assert deploy.models() == ["toxic-comments-dev-11111111"]
    assert deploy.ask("seventy") == 7.0
    deploy("2", P99LatencyMs="500")
    assert "Scaling" not in stacks.resources(NAMES.endpoint_stack)
    deploy("3", InstanceType="ml.c5.large")
    assert stacks.delete(NAMES.endpoint_stack, deploy.role) == "DELETE_COMPLETE"
    assert (deploy.models(), aws.denials()) == ([], [])
    unused = {permission["action"] for permission in aws.unused_permissions() if "-DeployRole-" in permission["role"]}
    assert unused - permissions_of_handlers(load(FOLDER / "endpoint.yaml")) <= set(FURTHER)


def test_a_serverless_endpoint_comes_to_be_too(deploy: Deployment) -> None:
    deploy("0", Serverless="true")
    assert deploy.ask("four") == 4.0
    assert deploy.stacks.aws.denials() == []


def test_a_model_that_is_not_approved_is_not_deployed(deploy: Deployment) -> None:
    sagemaker = deploy.stacks.aws.client("sagemaker")
    sagemaker.update_model_package(ModelPackageArn=deploy.package, ModelApprovalStatus="Rejected")
    with pytest.raises(Failed, match="its approval status is Rejected"):
        deploy("0")
    assert deploy.models() == []


def test_the_instance_type_of_a_scaled_endpoint_cannot_be_changed_at_once(deploy: Deployment) -> None:
    """docs/reference/aws.md describes it: first deploy without scaling, then with the other instance type."""
    deploy("0", MaxInstances="3")
    with pytest.raises(Failed, match="UPDATE_ROLLBACK_COMPLETE"):
        deploy("1", MaxInstances="3", InstanceType="ml.c5.large")
    deploy("2")
    deploy("3", InstanceType="ml.c5.large")
    assert deploy.ask("four") == 4.0
