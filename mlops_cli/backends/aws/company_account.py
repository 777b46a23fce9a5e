"""The rules of a company's AWS account, all optional: a permissions boundary, a role path, tags, a KMS key, a VPC.

Only this module knows the template parameters of these settings, and their effect on jobs and the endpoint.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.backends.aws.stages.jobs.package_index import NO_INDEX, PackageIndex
from mlops_cli.core.jobs import codeartifact
from mlops_cli.core.jobs.secret_addresses import is_parameter, location
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.instances import EndpointConfig

# Settings and their parameters of the pipeline's stack.
PARAMETERS = {
    "PERMISSIONS_BOUNDARY": "PermissionsBoundary",
    "ROLE_PATH": "RolePath",
    "RESOURCE_TAGS": "ResourceTags",
    "KMS_KEY_ARN": "KmsKeyArn",
    "VPC_ID": "VpcId",
    "SUBNET_IDS": "SubnetIds",
    "SECURITY_GROUP_IDS": "SecurityGroupIds",
    "PACKAGE_INDEX_URL": "PackageIndexUrl",
    "PACKAGE_INDEX_SECRET": "PackageIndexAccess",
    "IMAGE_REGISTRY": "ImageRegistry",
    "BUILD_IMAGE": "BuildImage",
}
# CodeBuild's type of the variable with the index's credential; CODEARTIFACT has none, a step gets a token.
ACCESS_TYPE = "PackageIndexAccessType"
REPOSITORY = "PackageRepositoryArn"
NETWORK = ("VPC_ID", "SUBNET_IDS", "SECURITY_GROUP_IDS")
# Instances of these families have local disks that the hardware encrypts: SageMaker refuses a key for them. They have
# the letter d after the generation, or are accelerated and storage families of some generations.
LOCAL_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|gr?[5-9]\w*|i\d\w*|p[4-9]\w*(-\w+)?|trn\d\w*)\.")


@dataclass(frozen=True)
class CompanyAccount:
    """The parts for jobs and the endpoint. A part is empty if its setting is not set."""

    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key: str = ""
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    index: PackageIndex = NO_INDEX

    def volume_key(self, instance_type: str) -> str:
        """Return the key for an instance's volume; empty for instance types that do not support one."""
        return "" if LOCAL_DISKS.match(instance_type) else self.kms_key

    def job_request(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a job's request with the tags, the key and the network added."""
        tags = [*request.get("Tags", ()), *({"Key": name, "Value": value} for name, value in self.tags.items())]
        more = _training(self, request) if "TrainingJobName" in request else _processing(self, request)
        return {**request, **more, "Tags": tags}

    def endpoint_parameters(self, hosting: EndpointConfig) -> dict[str, str]:
        """Return the endpoint template's parameters. Raise ConfigurationError for a serverless endpoint in a VPC."""
        check_hosting(hosting, bool(self.subnets))
        return {
            "KmsKeyArn": self.kms_key,
            "VolumeKey": str(bool(self.volume_key(hosting.instance_type))).lower(),
            "SubnetIds": ",".join(self.subnets),
            "SecurityGroupIds": ",".join(self.security_groups),
            # A model's container reads no secret, and the index would refuse it without the credential.
            "PackageIndexUrl": "" if self.index.secret else self.index.url,
        }


def check_hosting(hosting: EndpointConfig, has_vpc: bool) -> None:
    """Raise ConfigurationError for a serverless endpoint in a VPC: SageMaker does not support it."""
    if hosting.serverless and has_vpc:
        raise ConfigurationError(
            "A serverless endpoint cannot be in a VPC, and SUBNET_IDS is set.",
            "Set serverless = false in [aws.endpoint] of usecase.toml, or leave VPC_ID, SUBNET_IDS and "
            "SECURITY_GROUP_IDS empty.",
        )


def _vpc(account: CompanyAccount) -> dict[str, Any]:
    network = {"SecurityGroupIds": list(account.security_groups), "Subnets": list(account.subnets)}
    return {"VpcConfig": network} if account.subnets else {}


def _training(account: CompanyAccount, request: Mapping[str, Any]) -> dict[str, Any]:
    cluster, output = request["ResourceConfig"], request["OutputDataConfig"]
    volume = account.volume_key(cluster["InstanceType"])
    return {
        "ResourceConfig": {**cluster, **({"VolumeKmsKeyId": volume} if volume else {})},
        "OutputDataConfig": {**output, **({"KmsKeyId": account.kms_key} if account.kms_key else {})},
        **_vpc(account),
    }


def _processing(account: CompanyAccount, request: Mapping[str, Any]) -> dict[str, Any]:
    cluster, output = request["ProcessingResources"]["ClusterConfig"], request["ProcessingOutputConfig"]
    volume = account.volume_key(cluster["InstanceType"])
    return {
        "ProcessingResources": {"ClusterConfig": {**cluster, **({"VolumeKmsKeyId": volume} if volume else {})}},
        "ProcessingOutputConfig": {**output, **({"KmsKeyId": account.kms_key} if account.kms_key else {})},
        "NetworkConfig": {**request.get("NetworkConfig", {}), **_vpc(account)},
    }


def tags_of(text: str) -> dict[str, str]:
    """Parse RESOURCE_TAGS."""
    pairs = (entry.partition("=") for entry in text.split(",") if entry)
    return {name: value for name, _, value in pairs}


def read(text: str) -> CompanyAccount:
    """Return the settings from the stack's output, or from the variable of a step."""
    values: dict[str, str] = json.loads(text or "{}")
    return CompanyAccount(
        tags=tags_of(values.get("tags", "")),
        kms_key=values.get("key", ""),
        subnets=tuple(name for name in values.get("subnets", "").split(",") if name),
        security_groups=tuple(name for name in values.get("groups", "").split(",") if name),
        index=PackageIndex(values.get("index", ""), values.get("credential", "")),
    )


def parameters(settings: Settings) -> dict[str, str]:
    """Return the pipeline stack's parameters. Raise ConfigurationError for a setting that needs another one."""
    missing = [name for name in NETWORK if not settings[name]]
    if missing and len(missing) < len(NETWORK):
        raise ConfigurationError(
            f"A VPC needs {', '.join(NETWORK)}, and {' and '.join(missing)} is empty.", "Set all three, or none."
        )
    if settings["PACKAGE_INDEX_SECRET"] and not settings["PACKAGE_INDEX_URL"]:
        raise ConfigurationError(
            "PACKAGE_INDEX_SECRET is set, but PACKAGE_INDEX_URL is empty.",
            "Set both, or none.",
        )
    url, address = settings["PACKAGE_INDEX_URL"], settings["PACKAGE_INDEX_SECRET"]
    if (domain := codeartifact.domain_of(url)) and address != domain:
        raise ConfigurationError(
            "PACKAGE_INDEX_URL is a repository of CodeArtifact, whose credential is a token of its domain.",
            f"Set PACKAGE_INDEX_SECRET={domain}",
        )
    values = {parameter: settings[name] for name, parameter in PARAMETERS.items()}
    repository = codeartifact.repository_arn(address, url) if codeartifact.is_domain(address) else ""
    return {**values, ACCESS_TYPE: _access_type(address), REPOSITORY: repository}


def _access_type(address: str) -> str:
    if codeartifact.is_domain(address):
        return "CODEARTIFACT"
    return "PARAMETER_STORE" if is_parameter(address) else "SECRETS_MANAGER"


def storage_parameters(settings: Settings) -> dict[str, str]:
    """Return the parameters of the storage stack."""
    return {"KmsKeyArn": settings["KMS_KEY_ARN"]}


def used_by(stack_parameters: Mapping[str, str]) -> list[str]:
    """Return descriptions of the resources that the pipeline's stack uses but did not create."""
    nouns = {
        "PermissionsBoundary": "policy",
        "KmsKeyArn": "KMS key",
        "VpcId": "VPC",
        "PackageIndexUrl": "package index",
        "ImageRegistry": "registry",
        "BuildRepository": "repository of the build image",
    }
    secret = stack_parameters.get("PackageIndexAccess")
    named = [f"{noun} {stack_parameters[name]}" for name, noun in nouns.items() if stack_parameters.get(name)]
    index = f"CodeArtifact domain {secret}" if secret and codeartifact.is_domain(secret) else ""
    return [*named, *([index or f"secret in {location(secret)}"] if secret else [])]
