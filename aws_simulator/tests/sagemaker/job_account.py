"""An account for SageMaker jobs: a bucket, a role with few permissions, scripts, and requests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

from aws_simulator.accounts import bucket, eventually, role
from aws_simulator.fixture import Aws

BUCKET = "jobs"
REPOSITORY = "arn:aws:ecr:us-east-1:763104351884:repository/"
TRAINING_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-training:2.21-cpu-py312"
SERVING_IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/tensorflow-inference:2.20-cpu"
LOG_ACTIONS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
LOGS = {"Action": LOG_ACTIONS, "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/*"}
PULL = {
    "Action": ["ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"],
    "Resource": f"{REPOSITORY}*",
}
TOKEN = {"Action": "ecr:GetAuthorizationToken", "Resource": "*"}
LIST = {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"}
READ = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/*"}
WRITE = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/out/*"}
NAMESPACES = [f"/aws/sagemaker/{kind}" for kind in ("TrainingJobs", "ProcessingJobs", "Endpoints")]
METRICS = {
    "Action": "cloudwatch:PutMetricData",
    "Resource": "*",
    "Condition": {"StringEquals": {"cloudwatch:namespace": NAMESPACES}},
}
ENOUGH = (METRICS, LOGS, PULL, TOKEN, LIST, READ, WRITE)


def tarball(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def untarred(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive if entry.isfile()}  # type: ignore[union-attr]


class Jobs:
    """Creates the account, uploads scripts and data, starts jobs and reads their output."""

    def __init__(self, aws: Aws, *statements: Mapping[str, Any]) -> None:
        self.aws = aws
        self.s3 = bucket(aws, BUCKET)
        self.role = role(aws, "job", "sagemaker.amazonaws.com", *(statements or ENOUGH))
        self.sagemaker = aws.client("sagemaker")

    def put(self, key: str, content: str | bytes) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def get(self, key: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())

    def keys(self, prefix: str) -> list[str]:
        contents = self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
        return [entry["Key"].removeprefix(prefix) for entry in contents]

    def training(self, name: str, script: str, **more: Any) -> dict[str, Any]:
        """Return a request; ``more``: hyperparameters, files beside the script, instances, channels, other members."""
        files = {"train.py": script, **more.pop("files", {})}
        code = self.put(f"code/{name}/sourcedir.tar.gz", tarball(files))
        own = more.pop("hyperparameters", {})
        resources = {"InstanceType": "ml.m5.xlarge", "InstanceCount": more.pop("instances", 1), "VolumeSizeInGB": 10}
        channels = more.pop("channels", {})
        for channel in channels:
            self.put(f"data/{channel}/rows.csv", f"rows of {channel}")
        return {
            "TrainingJobName": name,
            "RoleArn": self.role,
            "AlgorithmSpecification": {"TrainingImage": TRAINING_IMAGE, "TrainingInputMode": "File"},
            "HyperParameters": {
                "sagemaker_program": "train.py",
                "sagemaker_submit_directory": code,
                "sagemaker_region": "us-east-1",
                **own,
            },
            **({"InputDataConfig": [channel_of(*channel) for channel in channels.items()]} if channels else {}),
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": resources,
            "StoppingCondition": {"MaxRuntimeInSeconds": 600},
            **more,
        }

    def processing(self, name: str, *command: str, **more: Any) -> dict[str, Any]:
        """Return a request for a processing job; ``instances``, ``inputs`` {path: uri}, ``outputs`` {path: uri}."""
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": more.pop("instances", 1), "VolumeSizeInGB": 10}
        inputs = [input_of(path, uri) for path, uri in more.pop("inputs", {}).items()]
        outputs = [output_of(path, uri) for path, uri in more.pop("outputs", {}).items()]
        return {
            "ProcessingJobName": name,
            "RoleArn": self.role,
            "ProcessingResources": {"ClusterConfig": cluster},
            "AppSpecification": {"ImageUri": TRAINING_IMAGE, "ContainerEntrypoint": list(command)},
            **({"ProcessingInputs": inputs} if inputs else {}),
            **({"ProcessingOutputConfig": {"Outputs": outputs}} if outputs else {}),
            **more,
        }

    def train(self, name: str, script: str, **more: Any) -> dict[str, Any]:
        """Run a training job to its end. Return its description."""
        self.sagemaker.create_training_job(**self.training(name, script, **more))
        return self.trained(name)

    def trained(self, name: str, *statuses: str) -> dict[str, Any]:
        """Return a training job's description as soon as its status (or secondary status) is one of these, or final."""
        expected = {*statuses} or {"Completed", "Failed", "Stopped"}

        def look() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
            return (
                description if expected & {description["TrainingJobStatus"], description["SecondaryStatus"]} else None
            )

        return dict(eventually(look))

    def process(self, name: str, *command: str, **more: Any) -> dict[str, Any]:
        self.sagemaker.create_processing_job(**self.processing(name, *command, **more))
        return self.processed(name)

    def processed(self, name: str, *statuses: str) -> dict[str, Any]:
        expected = {*statuses} or {"Completed", "Failed", "Stopped"}

        def look() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sagemaker.describe_processing_job(ProcessingJobName=name)
            return description if description["ProcessingJobStatus"] in expected else None

        return dict(eventually(look))

    def log(self, group: str, job: str) -> dict[str, list[str]]:
        """Return the lines of a job's log by host."""
        logs = self.aws.client("logs")
        if not logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]:
            return {}
        streams = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
        names = [stream["logStreamName"] for stream in streams]
        return {
            name.split("/")[1].rpartition("-")[0]: [
                event["message"] for event in logs.get_log_events(logGroupName=group, logStreamName=name)["events"]
            ]
            for name in names
        }


def channel_of(name: str, uri: str) -> dict[str, Any]:
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


def input_of(path: str, uri: str) -> dict[str, Any]:
    source = {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": path.rpartition("/")[2], "S3Input": source}


def output_of(path: str, uri: str) -> dict[str, Any]:
    destination = {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"}
    return {"OutputName": path.rpartition("/")[2], "S3Output": destination}
