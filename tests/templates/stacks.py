"""Create, update and delete the real templates' stacks in the simulated AWS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_simulator.accounts import eventually, settled, zipped
from aws_simulator.fixture import Aws
from mlops_cli.backends.aws.infra.pipeline_template import as_sent
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.files.model_archive import pack
from tests.templates.template import FOLDER, PIPELINE

NAMES = ResourceNames("toxic-comments", "dev")


class Failed(AssertionError):
    """Has the events with the reasons, the first one first."""


class Stacks:
    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.cloudformation = aws.client("cloudformation")

    def deploy(self, name: str, template: str, parameters: Mapping[str, str], role: str = "") -> dict[str, str]:
        """Create or update a stack as the CLI does. Return its outputs. Raise Failed if the creation fails."""
        arguments: dict[str, Any] = {
            "StackName": name,
            "TemplateBody": as_sent((FOLDER / f"{template}.yaml").read_text(encoding="utf-8")),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_IAM"],
            "Tags": [{"Key": key, "Value": value} for key, value in NAMES.tags.items()],
            **({"RoleARN": role} if role else {}),
        }
        exists = settled(self.aws, name) != "DELETE_COMPLETE"
        verb = self.cloudformation.update_stack if exists else self.cloudformation.create_stack
        verb(**arguments)
        status = settled(self.aws, name)
        if status != ("UPDATE_COMPLETE" if exists else "CREATE_COMPLETE"):
            raise Failed(f"{name}: {status}\n" + "\n".join(self.reasons(name)))
        return self.outputs(name)

    def outputs(self, name: str) -> dict[str, str]:
        stacks = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stacks["Outputs"]}

    def reasons(self, name: str) -> list[str]:
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = [event for event in reversed(events) if event["ResourceStatus"].endswith("FAILED")]
        return [f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed]

    def resources(self, name: str) -> dict[str, str]:
        """Return the physical id of every resource by its logical id."""
        resources = self.cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def delete(self, name: str, role: str = "") -> str:
        self.cloudformation.delete_stack(StackName=name, **({"RoleARN": role} if role else {}))
        return settled(self.aws, name)

    def storage(self, **parameters: str) -> dict[str, str]:
        return self.deploy(NAMES.storage_stack, "storage", {"KeyPrefix": NAMES.key_prefix, **parameters})

    def pipeline(self, **parameters: str) -> dict[str, str]:
        """Create both stacks, with a source in the bucket."""
        bucket = self.storage()["BucketName"]
        source = zipped({"README.md": "a project"})
        self.aws.client("s3").put_object(Bucket=bucket, Key=f"{NAMES.key_prefix}source/source.zip", Body=source)
        values = {**PIPELINE, "BucketName": bucket, "EndpointStackName": NAMES.endpoint_stack, **parameters}
        return self.deploy(NAMES.pipeline_stack, "pipeline", values)

    def rest(self) -> None:
        """Wait for the end of the execution that every new pipeline starts by itself: its source has no project."""
        codepipeline = self.aws.client("codepipeline")
        name = self.outputs(NAMES.pipeline_stack)["PipelineName"]

        def ended() -> bool:
            executions = codepipeline.list_pipeline_executions(pipelineName=name)["pipelineExecutionSummaries"]
            return all(execution["status"] != "InProgress" for execution in executions)

        eventually(ended)

    def model(self, outputs: Mapping[str, str], folder: Path, archive: Path) -> tuple[str, str]:
        """Put a model into the bucket and register it. Return the approved package's ARN and the model's digest."""
        digest = pack(folder, archive)
        key = f"{outputs['KeyPrefix']}models/{digest}/model.tar.gz"
        self.aws.client("s3").put_object(Bucket=outputs["BucketName"], Key=key, Body=archive.read_bytes())
        container = {"Image": outputs["ServingImage"], "ModelDataUrl": f"s3://{outputs['BucketName']}/{key}"}
        types = ["application/json"]
        package = self.aws.client("sagemaker").create_model_package(
            ModelPackageGroupName=outputs["ModelPackageGroup"],
            ModelApprovalStatus="Approved",
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": types,
                "SupportedResponseMIMETypes": types,
            },
        )
        return package["ModelPackageArn"], digest
