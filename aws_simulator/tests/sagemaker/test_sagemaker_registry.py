"""The model registry: versions in a group, their approval and their identity."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from aws_simulator.accounts import reasons, settled, stack, user
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.job_account import SERVING_IMAGE

ARN = "arn:aws:sagemaker:us-east-1:123456789012:"
INFERENCE = {
    "Containers": [{"Image": SERVING_IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz"}],
    "SupportedContentTypes": ["application/json"],
    "SupportedResponseMIMETypes": ["application/json"],
}
VERSION = {
    "ModelPackageGroupName": "ours",
    "InferenceSpecification": INFERENCE,
    "ModelApprovalStatus": "PendingManualApproval",
}


def test_versions_are_numbered_described_approved_and_listed(aws: Aws) -> None:
    sagemaker = aws.client("sagemaker")
    tags = [{"Key": "mlops:project", "Value": "x"}]
    group = sagemaker.create_model_package_group(ModelPackageGroupName="ours", Tags=tags)["ModelPackageGroupArn"]
    assert sagemaker.list_tags(ResourceArn=group)["Tags"] == tags
    first = sagemaker.create_model_package(**VERSION, CustomerMetadataProperties={"digest": "abc", "run": "1"})
    second = sagemaker.create_model_package(**VERSION)
    assert first["ModelPackageArn"] == f"{ARN}model-package/ours/1"
    assert second["ModelPackageArn"] == f"{ARN}model-package/ours/2"
    package = sagemaker.describe_model_package(ModelPackageName=first["ModelPackageArn"])
    assert package["CustomerMetadataProperties"] == {"digest": "abc", "run": "1"}
    assert (package["ModelPackageVersion"], package["ModelApprovalStatus"]) == (1, "PendingManualApproval")
    assert package["ModelPackageStatus"] == "Completed"
    sagemaker.update_model_package(
        ModelPackageArn=first["ModelPackageArn"],
        ModelApprovalStatus="Approved",
        ApprovalDescription="by somebody: good",
        CustomerMetadataProperties={"run": "2"},
    )
    package = sagemaker.describe_model_package(ModelPackageName="ours/1")
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == ("Approved", "by somebody: good")
    assert package["CustomerMetadataProperties"] == {"digest": "abc", "run": "2"}
    model_packages = sagemaker.list_model_packages(ModelPackageGroupName="ours", ModelApprovalStatus="Approved")
    assert [row["ModelPackageVersion"] for row in model_packages["ModelPackageSummaryList"]] == [1]
    (row,) = sagemaker.list_model_package_groups(NameContains="our")["ModelPackageGroupSummaryList"]
    assert row["ModelPackageGroupArn"] == group


def test_a_group_with_packages_cannot_be_deleted_and_numbers_are_never_used_again(aws: Aws) -> None:
    sagemaker = aws.client("sagemaker")
    sagemaker.create_model_package_group(ModelPackageGroupName="ours")
    sagemaker.create_model_package(**VERSION)
    with pytest.raises(ClientError, match=r"ConflictException.*still contains"):
        sagemaker.delete_model_package_group(ModelPackageGroupName="ours")
    sagemaker.delete_model_package(ModelPackageName=f"{ARN}model-package/ours/1")
    assert sagemaker.create_model_package(**VERSION)["ModelPackageArn"].endswith("/ours/2")
    sagemaker.delete_model_package(ModelPackageName="ours/2")
    sagemaker.delete_model_package_group(ModelPackageGroupName="ours")
    with pytest.raises(ClientError, match="ValidationException"):
        sagemaker.list_tags(ResourceArn=f"{ARN}model-package-group/ours")
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName="ours")
    with pytest.raises(ClientError, match=r"ModelPackage .*ours/2 does not exist"):
        sagemaker.describe_model_package(ModelPackageName="ours/2")


def test_a_role_that_registers_can_be_denied_the_approval(aws: Aws) -> None:
    aws.client("sagemaker").create_model_package_group(ModelPackageGroupName="ours")
    pending = {"StringEquals": {"sagemaker:ModelApprovalStatus": "PendingManualApproval"}}
    resources = [f"{ARN}model-package-group/ours", f"{ARN}model-package/ours/*"]
    statement = {"Action": "sagemaker:CreateModelPackage", "Resource": resources, "Condition": pending}
    registrar = aws.client("sagemaker", **user(aws, "registrar", statement))
    registrar.create_model_package(**VERSION)
    with pytest.raises(ClientError, match="sagemaker:CreateModelPackage"):
        registrar.create_model_package(**{**VERSION, "ModelApprovalStatus": "Approved"})
    with pytest.raises(ClientError, match="sagemaker:UpdateModelPackage"):
        registrar.update_model_package(ModelPackageArn=f"{ARN}model-package/ours/1", ModelApprovalStatus="Approved")


def test_a_group_is_made_by_a_stack_and_keeps_it_from_being_deleted(aws: Aws) -> None:
    group = {"Type": "AWS::SageMaker::ModelPackageGroup", "Properties": {"ModelPackageGroupName": "ours"}}
    assert stack(aws, "s", {"Group": group}, Arn={"Ref": "Group"}) == "CREATE_COMPLETE"
    cloudformation = aws.client("cloudformation")
    (output,) = cloudformation.describe_stacks(StackName="s")["Stacks"][0]["Outputs"]
    assert output["OutputValue"] == f"{ARN}model-package-group/ours"
    aws.client("sagemaker").create_model_package(**VERSION)
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_FAILED"
    assert "still contains Model Packages" in reasons(aws, "s")[0]
    aws.client("sagemaker").delete_model_package(ModelPackageName="ours/1")
    cloudformation.delete_stack(StackName="s")
    assert settled(aws, "s") == "DELETE_COMPLETE"
    assert aws.client("sagemaker").list_model_package_groups()["ModelPackageGroupSummaryList"] == []
