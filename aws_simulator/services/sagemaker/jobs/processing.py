"""The operations on processing jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.networks import network_conditions, require_keys_and_network
from aws_simulator.permissions.roles import Caller
from aws_simulator.service import Request, operation
from aws_simulator.services.sagemaker.common import SERVICE, arn_of, invalid, listing, require_tagging
from aws_simulator.services.sagemaker.jobs.processing_job import ProcessingJob
from aws_simulator.services.sagemaker.jobs.training import assume_role, check_data
from aws_simulator.services.sagemaker.pace import Pace

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.tags import Tags as Base
else:
    Base = object

ARN = "arn:aws:sagemaker:{region}:{account}:processing-job/{ProcessingJobName}"
MOUNT = "/opt/ml/processing"


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of sagemaker:CreateProcessingJob."""
    seconds = request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
    limit = {"sagemaker:MaxRuntimeInSeconds": seconds} if seconds else {}
    cluster = request["ProcessingResources"]["ClusterConfig"]
    keys = {
        "sagemaker:InstanceTypes": [cluster["InstanceType"]],
        "sagemaker:VolumeKmsKey": cluster.get("VolumeKmsKeyId"),
        "sagemaker:OutputKmsKey": request.get("ProcessingOutputConfig", {}).get("KmsKeyId"),
        **network_conditions(request.get("NetworkConfig", {}).get("VpcConfig", {})),
        **limit,
    }
    return {name: value for name, value in keys.items() if value is not None}


class ProcessingJobs(Base):
    pace: Pace

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.processing_jobs: dict[str, ProcessingJob] = {}

    @operation(ARN, passes={"RoleArn": SERVICE}, context=conditions)
    def create_processing_job(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "processing-job", request["ProcessingJobName"])
        require_tagging(request, arn, caller)
        if arn in self.processing_jobs:
            unique = "Job name must be unique within an AWS account and region"
            raise ServiceError("ResourceInUse", f"{unique}, and a job with this name already exists ({arn})")
        check(request)
        self._check_processing_quota(request)
        role = assume_role(request["RoleArn"])
        require_keys_and_network(
            self.simulator,
            role,
            request["ProcessingResources"]["ClusterConfig"].get("VolumeKmsKeyId"),
            request.get("ProcessingOutputConfig", {}).get("KmsKeyId"),
            request.get("NetworkConfig", {}).get("VpcConfig", {}),
        )
        for processing_input in request.get("ProcessingInputs", []):
            check_data(
                self.simulator.client("s3", role),
                processing_input["S3Input"]["S3Uri"],
                request["RoleArn"],
                caller.region,
            )
        job = ProcessingJob(self.simulator, self.pace, request["ProcessingJobName"], arn, request)
        self.processing_jobs[arn] = job
        self.tag(arn, request.get("Tags"))
        self.simulator.background(job.run)
        return {"ProcessingJobArn": arn}

    def _check_processing_quota(self, request: Request) -> None:
        cluster = request["ProcessingResources"]["ClusterConfig"]
        running = [
            job.request["ProcessingResources"]["ClusterConfig"]
            for job in self.processing_jobs.values()
            if not job.is_over
        ]
        used = sum(job["InstanceCount"] for job in running if job["InstanceType"] == cluster["InstanceType"])
        self.pace.require_quota(f"{cluster['InstanceType']} for processing job usage", used, cluster["InstanceCount"])

    @operation(ARN)
    def describe_processing_job(self, request: Request, caller: Caller) -> dict[str, Any]:
        return self.processing_job(request, caller).described(self.shape("DescribeProcessingJobResponse"))

    @operation(ARN)
    def stop_processing_job(self, request: Request, caller: Caller) -> None:
        job = self.processing_job(request, caller)
        if not job.stop():
            raise invalid(f"The request was rejected because the processing job is in status {job.status}.")

    @operation(ARN)
    def delete_processing_job(self, request: Request, caller: Caller) -> None:
        job = self.processing_job(request, caller)
        if not job.is_over:
            raise ServiceError(
                "ResourceInUse", f"The processing job {job.arn} is in status {job.status} and cannot be deleted."
            )
        del self.processing_jobs[job.arn]
        self.tags.pop(job.arn, None)

    @operation()
    def list_processing_jobs(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [
            job.summary()
            for arn, job in self.processing_jobs.items()
            if arn.startswith(arn_of(caller, "processing-job", ""))
        ]
        return listing(rows, request, "ProcessingJobSummaries", "ProcessingJobName", "ProcessingJobStatus")

    def processing_job(self, request: Request, caller: Caller) -> ProcessingJob:
        name = request["ProcessingJobName"]
        job = self.processing_jobs.get(arn_of(caller, "processing-job", name))
        if job is None:
            raise invalid(f"Could not find requested job with name: {name}")
        return job


def check(request: Mapping[str, Any]) -> None:
    """Refuse requests beyond the model's rules."""
    if "ClusterConfig" not in request["ProcessingResources"]:
        raise invalid("ClusterConfig is required in ProcessingResources.")
    inputs = [processing_input.get("S3Input") for processing_input in request.get("ProcessingInputs", [])]
    outputs = [output.get("S3Output") for output in request.get("ProcessingOutputConfig", {}).get("Outputs", [])]
    for channel in [*inputs, *outputs]:
        if channel is None:
            raise invalid("The simulator has only S3Input and S3Output.")
        if not str(channel.get("LocalPath", "")).startswith(f"{MOUNT}/"):
            raise invalid(f"LocalPath must begin with {MOUNT}/, is {channel.get('LocalPath')}.")
    for channel in inputs:
        if channel["S3DataType"] != "S3Prefix" or channel.get("S3InputMode", "File") != "File":
            raise invalid("The simulator has only inputs with S3Prefix in File mode.")
