"""The operations on training jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.networks import network_conditions, require_keys_and_network
from aws_simulator.permissions.roles import Caller, assume
from aws_simulator.service import Request, operation
from aws_simulator.services.sagemaker import storage
from aws_simulator.services.sagemaker.common import SERVICE, arn_of, invalid, listing, require_tagging
from aws_simulator.services.sagemaker.jobs.training_job import TrainingJob
from aws_simulator.services.sagemaker.pace import Pace

if TYPE_CHECKING:
    from aws_simulator.services.sagemaker.tags import Tags as Base
else:
    Base = object

ARN = "arn:aws:sagemaker:{region}:{account}:training-job/{TrainingJobName}"


def conditions(request: Request) -> dict[str, Any]:
    """Return the condition keys of sagemaker:CreateTrainingJob."""
    fields = {
        "sagemaker:InstanceTypes": [request.get("ResourceConfig", {}).get("InstanceType")],
        "sagemaker:MaxRuntimeInSeconds": request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        "sagemaker:VolumeKmsKey": request.get("ResourceConfig", {}).get("VolumeKmsKeyId"),
        "sagemaker:OutputKmsKey": request.get("OutputDataConfig", {}).get("KmsKeyId"),
        **network_conditions(request.get("VpcConfig", {})),
    }
    return {name: value for name, value in fields.items() if value not in (None, [None])}


class TrainingJobs(Base):
    pace: Pace

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.training_jobs: dict[str, TrainingJob] = {}

    @operation(ARN, passes={"RoleArn": SERVICE}, context=conditions)
    def create_training_job(self, request: Request, caller: Caller) -> dict[str, Any]:
        arn = arn_of(caller, "training-job", request["TrainingJobName"])
        require_tagging(request, arn, caller)
        if arn in self.training_jobs:
            unique = "Training job names must be unique within an AWS account and region"
            raise ServiceError("ResourceInUse", f"{unique}, and a training job with this name already exists ({arn})")
        check(request)
        self._check_training_quota(request)
        role = assume_role(request["RoleArn"])
        require_keys_and_network(
            self.simulator,
            role,
            request["ResourceConfig"].get("VolumeKmsKeyId"),
            request["OutputDataConfig"].get("KmsKeyId"),
            request.get("VpcConfig", {}),
        )
        for channel in request.get("InputDataConfig", []):
            check_data(
                self.simulator.client("s3", role),
                channel["DataSource"]["S3DataSource"]["S3Uri"],
                request["RoleArn"],
                caller.region,
            )
        job = TrainingJob(self.simulator, self.pace, request["TrainingJobName"], arn, request)
        self.training_jobs[arn] = job
        self.tag(arn, request.get("Tags"))
        self.simulator.background(job.run)
        return {"TrainingJobArn": arn}

    def _check_training_quota(self, request: Request) -> None:
        resources = request["ResourceConfig"]
        spot = "spot " if request.get("EnableManagedSpotTraining") else ""
        running = [job.request["ResourceConfig"] for job in self.training_jobs.values() if not job.is_over]
        used = sum(job["InstanceCount"] for job in running if job["InstanceType"] == resources["InstanceType"])
        self.pace.require_quota(
            f"{resources['InstanceType']} for {spot}training job usage", used, resources["InstanceCount"]
        )

    @operation(ARN)
    def describe_training_job(self, request: Request, caller: Caller) -> dict[str, Any]:
        return self.training_job(request, caller).described(self.shape("DescribeTrainingJobResponse"))

    @operation(ARN)
    def stop_training_job(self, request: Request, caller: Caller) -> None:
        job = self.training_job(request, caller)
        if not job.stop():
            raise invalid(f"The request was rejected because the training job is in status {job.status}.")

    @operation(ARN)
    def delete_training_job(self, request: Request, caller: Caller) -> None:
        job = self.training_job(request, caller)
        if not job.is_over:
            raise ServiceError(
                "ResourceInUse", f"The training job {job.arn} is in status {job.status} and cannot be deleted."
            )
        del self.training_jobs[job.arn]
        self.tags.pop(job.arn, None)

    @operation()
    def list_training_jobs(self, request: Request, caller: Caller) -> dict[str, Any]:
        rows = [
            job.summary()
            for arn, job in self.training_jobs.items()
            if arn.startswith(arn_of(caller, "training-job", ""))
        ]
        return listing(rows, request, "TrainingJobSummaries", "TrainingJobName", "TrainingJobStatus")

    def training_job(self, request: Request, caller: Caller) -> TrainingJob:
        job = self.training_jobs.get(arn_of(caller, "training-job", request["TrainingJobName"]))
        if job is None:
            raise invalid("Requested resource not found.")
        return job

    def interrupt_training_job(self, arguments: dict[str, Any]) -> None:
        """The control ``sagemaker-interrupt``: take the instances of the training job ``job`` away.

        A spot job is interrupted; for any other it is an internal error of SageMaker.
        """
        job = next(job for job in self.training_jobs.values() if job.name == arguments["job"])
        assert job.secondary == "Training", f"the job is {job.secondary}, not Training"
        job.interrupted.set()


def check(request: Mapping[str, Any]) -> None:
    """Refuse requests beyond the model's rules."""
    for member in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
        if member not in request:
            raise invalid(f"{member} is required.")
    if not request["AlgorithmSpecification"].get("TrainingImage"):
        raise invalid("Either TrainingImage or AlgorithmName must be specified in AlgorithmSpecification.")
    if not {"InstanceType", "InstanceCount"} <= request["ResourceConfig"].keys():
        raise invalid("The simulator has only jobs with InstanceType and InstanceCount.")
    if request["OutputDataConfig"].get("CompressionType", "GZIP") != "GZIP":
        raise invalid("The simulator has only outputs with CompressionType GZIP.")
    stopping = request["StoppingCondition"]
    if request.get("EnableManagedSpotTraining"):
        if stopping.get("MaxWaitTimeInSeconds", 0) < stopping.get("MaxRuntimeInSeconds", 24 * 3600):
            raise invalid(
                "Invalid MaxWaitTimeInSeconds. It must be present and be greater than or equal to MaxRuntimeInSeconds"
            )
    elif "MaxWaitTimeInSeconds" in stopping:
        raise invalid("MaxWaitTimeInSeconds above 0 is not supported when EnableManagedSpotTraining is disabled.")
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource", {})
        if source.get("S3DataType") != "S3Prefix" or channel.get("InputMode", "File") == "Pipe":
            raise invalid(
                f"The simulator has only S3Prefix channels in File mode; {channel['ChannelName']} is another."
            )


def assume_role(arn: str) -> Caller:
    try:
        return assume(arn, SERVICE, "SageMaker")
    except ServiceError as error:
        ensure = f"Please ensure that the role exists and allows principal '{SERVICE}' to assume the role."
        raise invalid(f"Could not assume role {arn}. {ensure}") from error


def check_data(s3: Any, uri: str, role: str, region: str) -> None:
    """Check with the job's role that input data exist, as SageMaker does before it accepts a job."""
    bucket, _ = storage.split(uri)
    why = "No objects found"
    try:
        if next(storage.objects(s3, uri), None) is not None:
            return
    except ClientError as error:
        why = error.response["Error"]["Message"]
    raise invalid(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in '
        f'the selected region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has '
        f'"s3:ListBucket" permissions on bucket "{bucket}". Error message from S3: {why}'
    )
