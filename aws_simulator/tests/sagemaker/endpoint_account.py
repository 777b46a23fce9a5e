"""An account for endpoints with the tiny use case's model."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aws_simulator.accounts import bucket, eventually, role
from aws_simulator.fixture import Aws
from aws_simulator.tests.sagemaker.job_account import LOGS, METRICS, PULL, SERVING_IMAGE, TOKEN

BUCKET = "models"
READ = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{BUCKET}/models/*"}
CAPTURE = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::{BUCKET}/captured/*"}
ALARMS = {"Action": "cloudwatch:DescribeAlarms", "Resource": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:*"}
ENOUGH = (METRICS, LOGS, PULL, TOKEN, READ)
GROUP = "ours"


class Models:
    """Packs the model folder, registers it, and creates models, configurations and endpoints from it."""

    def __init__(self, aws: Aws, model: Path, scratch: Path, *statements: Mapping[str, Any]) -> None:
        self.aws = aws
        self.s3 = bucket(aws, BUCKET)
        self.role = role(aws, "model", "sagemaker.amazonaws.com", *(statements or ENOUGH))
        self.sagemaker = aws.client("sagemaker")
        archive = scratch / "model.tar.gz"
        self.digest = _pack(model, archive)
        self.url = self.put(f"models/{self.digest}/model.tar.gz", archive.read_bytes())
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)

    def put(self, key: str, content: str | bytes) -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        return f"s3://{BUCKET}/{key}"

    def register(self, status: str = "Approved", url: str = "", **more: Any) -> str:
        """Register a new version in the group. Return its ARN."""
        container = {"Image": SERVING_IMAGE, "ModelDataUrl": url or self.url}
        types = ["application/json"]
        specification = {
            "Containers": [container],
            "SupportedContentTypes": types,
            "SupportedResponseMIMETypes": types,
        }
        wish = {"ModelPackageGroupName": GROUP, "ModelApprovalStatus": status, "InferenceSpecification": specification}
        return str(self.sagemaker.create_model_package(**{**wish, **more})["ModelPackageArn"])

    def model(self, name: str, package: str = "", **more: Any) -> None:
        container = {"ModelPackageName": package or self.register()}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role, **more)

    def config(self, name: str, model: str = "", variant: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Create a configuration with one variant. Create the model of its name if none is given."""
        if not model:
            self.model(name)
        instances = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
        whole = {"VariantName": "AllTraffic", "ModelName": model or name, **(instances if variant is None else variant)}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[whole], **more)

    def endpoint(self, name: str, config: str, **more: Any) -> dict[str, Any]:
        """Create an endpoint and wait."""
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **more)
        return self.settled(name)

    def settled(self, name: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            description: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
            return description if description["EndpointStatus"] in ("InService", "Failed") else None

        return dict(eventually(look))

    def ask(self, name: str, *texts: str, **more: Any) -> list[float]:
        """Return the tiny model's predictions: each text's length plus the model's constant."""
        body = json.dumps({"instances": texts})
        request = {"EndpointName": name, "Body": body, "ContentType": "application/json", **more}
        answer = self.aws.client("sagemaker-runtime").invoke_endpoint(**request)
        return [row["long"] for row in json.loads(answer["Body"].read())["predictions"]]


def _pack(folder: Path, archive: Path) -> str:
    """Write the folder's files to a .tar.gz. Return its SHA-256."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")
    return hashlib.sha256(archive.read_bytes()).hexdigest()
