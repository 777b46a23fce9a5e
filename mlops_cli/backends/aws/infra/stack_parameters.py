"""The parameters of the storage and pipeline templates: from settings, use case, and existing stacks."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.cloudformation import Stack
from mlops_cli.backends.aws.errors import DENIED, AwsError
from mlops_cli.backends.aws.infra import images
from mlops_cli.backends.aws.infra.image_registry import in_registry, repository
from mlops_cli.backends.aws.infra.source.root import PARAMETER, project_path
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.backends.aws.runs.build_limit import checked_build_minutes
from mlops_cli.core.jobs.secret_addresses import addresses, arns
from mlops_cli.core.stages import TRAINING
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.use_case import UseCase

CODECOMMIT = "codecommit"
# Images depend on region and instance type; a serverless endpoint runs on CPUs.
ANY_CPU = "ml.m5.large"


def storage(settings: Settings, account: Account, names: ResourceNames, stack: Stack | None) -> dict[str, str]:
    """Return the bucket's parameters: the stack's own bucket, a new bucket, or an existing one that is only used."""
    name = settings["BUCKET_NAME"]
    if stack and stack.outputs:
        current = stack.outputs["BucketName"]
        if name and name != current:
            raise MlopsError(
                f"This project uses the bucket {current}, but BUCKET_NAME is {name}.",
                "Leave BUCKET_NAME empty, or start again: mlops cleanup, then mlops deploy-infra",
            )
        kept = {key: stack.parameters.get(key, "") for key in ("BucketName", "CreateBucket")}
        return {**kept, "KeyPrefix": names.key_prefix, **company_account.storage_parameters(settings)}
    exists = bool(name) and _exists(account, name)
    return {
        "BucketName": name,
        "CreateBucket": "false" if exists else "true",
        "KeyPrefix": names.key_prefix,
        **company_account.storage_parameters(settings),
    }


def _exists(account: Account, bucket: str) -> bool:
    """Return True if the bucket exists and is usable. Raise MlopsError if it has another owner or region."""
    try:
        response = account.client("s3").head_bucket(Bucket=bucket)
    except AwsError as error:
        if error.is_not_found:
            return False
        if error.code in DENIED:
            raise MlopsError(
                f"The bucket {bucket} belongs to another account, or you may not use it.",
                "Set another BUCKET_NAME, or leave it empty to create one.",
            ) from None
        raise
    region = response.get("BucketRegion", account.region)
    if region != account.region:
        raise MlopsError(
            f"The bucket {bucket} is in {region}, but everything else would be created in {account.region}.",
            f"mlops --region {region} deploy-infra, or set another BUCKET_NAME.",
        )
    return True


def source_type(settings: Settings, stack: Stack | None) -> str:
    """Return the pipeline's source type. Without a setting, the deployed one stays."""
    setting = settings.values["SOURCE"]
    if stack and setting.origin == "default":
        return stack.outputs.get("SourceType", setting.text)
    return setting.text


def check_settings(settings: Settings, use_case: UseCase, account: Account, stack: Stack | None) -> None:
    """Raise MlopsError, before anything is created, for settings that allow no plan."""
    company_account.parameters(settings)
    company_account.check_hosting(use_case.machines.endpoint, bool(settings["SUBNET_IDS"]))
    if source_type(settings, stack) == CODECOMMIT and not (stack and stack.outputs):
        _check_codecommit(account)


def _check_codecommit(account: Account) -> None:
    """Raise MlopsError if boto3's list of regions for CodeCommit lacks this region."""
    partition = account.session.get_partition_for_region(account.region)
    if account.region not in account.session.get_available_regions(CODECOMMIT, partition):
        raise MlopsError(
            f"CodeCommit, the default SOURCE, is not offered in {account.region} (by boto3's list of regions).",
            "Let the bucket hold the project: mlops deploy-infra --source s3",
        )


def pipeline(
    settings: Settings,
    use_case: UseCase,
    account: Account,
    names: ResourceNames,
    stack: Stack | None,
    bucket: str,
    wheel_key: str,
    template_key: str,
) -> dict[str, str]:
    """Return the parameters of the pipeline's stack. ``stack``: its present state."""
    endpoint = _endpoint_name(settings, use_case)
    source = source_type(settings, stack)
    return {
        "UseCase": names.use_case,
        "Environment": names.environment,
        "BucketName": bucket,
        "KeyPrefix": names.key_prefix,
        "ArtifactFolder": names.artifact_folder,
        "PipelineName": names.pipeline,
        "EndpointName": endpoint,
        "EndpointStackName": names.endpoint_stack,
        "SourceType": source,
        "RepositoryName": settings["REPOSITORY_NAME"] if source == CODECOMMIT else "",
        "BranchName": settings["BRANCH"],
        PARAMETER: project_path(use_case.root, use_case.passed.code, source),
        **_connection(settings, source, stack.parameters if stack else {}),
        "WheelKey": wheel_key,
        "EndpointTemplateKey": template_key,
        **_images(settings, use_case, account.region),
        "BuildMinutes": str(checked_build_minutes(use_case.time_limits)),
        "Instance": settings["INSTANCE"],
        "ReadableArns": ",".join(secret_arns(use_case, account, endpoint)),
        "NotificationEmail": settings["NOTIFICATION_EMAIL"],
        **company_account.parameters(settings),
    }


def image_addresses(settings: Settings, use_case: UseCase, region: str) -> dict[str, str]:
    """Return the addresses of AWS's images for training and serving, except those that the use case replaces."""
    training = use_case.machines.trained_on(settings["INSTANCE"]).of(TRAINING).instance_type
    hosting = use_case.machines.endpoint
    server = ANY_CPU if hosting.serverless else hosting.instance_type
    framework, version = use_case.framework, use_case.framework_version
    addresses = {}
    if not use_case.training_image:
        addresses["TrainingImage"] = images.training_image(framework, version, region, training)
    if not use_case.serving_image:
        addresses["ServingImage"] = images.serving_image(framework, version, region, server)
    return addresses


def _images(settings: Settings, use_case: UseCase, region: str) -> dict[str, str]:
    """Return the images, and the repositories that the roles may pull from.

    An image is the use case's own, or else AWS's, from the company's registry if there is one.
    """
    own = {"TrainingImage": use_case.training_image, "ServingImage": use_case.serving_image}
    addresses = image_addresses(settings, use_case, region)
    chosen = {name: own[name] or in_registry(addresses[name], settings["IMAGE_REGISTRY"]) for name in own}
    return {
        **chosen,
        "TrainingRepository": repository(chosen["TrainingImage"]),
        "ServingRepository": repository(chosen["ServingImage"]),
        "BuildRepository": repository(settings["BUILD_IMAGE"]),
    }


def secret_arns(use_case: UseCase, account: Account, endpoint: str) -> list[str]:
    """Return the secrets that the pipeline's roles may read. Without secrets, send no request to AWS."""
    secret_addresses = addresses(use_case.passed.secrets, endpoint).values()
    if not secret_addresses:
        return []
    identity = account.identity
    return arns(secret_addresses, identity.partition, account.region, identity.account)


def _endpoint_name(settings: Settings, use_case: UseCase) -> str:
    """Return the name, checked by the rules of SageMaker and IAM: other resource names begin with it."""
    name = settings.endpoint_name(use_case.name)
    if len(name) > 40 or not re.fullmatch(r"[a-z0-9](-?[a-z0-9])*", name):
        raise ConfigurationError(
            f"The endpoint's name {name!r} (the use case's name, - and STAGE) is not valid on AWS: "
            "it must have at most 40 small letters, digits and single dashes.",
            "Change name in usecase.toml, or STAGE.",
        )
    return name


def _connection(settings: Settings, source: str, before: Mapping[str, str]) -> dict[str, str]:
    if source != "connection":
        return {"ConnectionArn": "", "FullRepositoryId": ""}
    parameters = {
        "ConnectionArn": settings["CONNECTION_ARN"] or before.get("ConnectionArn", ""),
        "FullRepositoryId": settings["FULL_REPOSITORY_ID"] or before.get("FullRepositoryId", ""),
    }
    if not all(parameters.values()):
        raise ConfigurationError(
            "SOURCE=connection needs a connection and a repository.",
            "Set CONNECTION_ARN and FULL_REPOSITORY_ID (owner/name) in .env; "
            "a connection is made in the AWS console under CodePipeline, Settings, Connections.",
        )
    return parameters
