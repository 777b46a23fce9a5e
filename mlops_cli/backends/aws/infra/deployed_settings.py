"""The settings of the pipeline's last deployment. On AWS a changed setting takes effect with ``mlops deploy-infra``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.clients.cloudformation import Stack
from mlops_cli.backends.aws.infra.source.root import PARAMETER, project_path
from mlops_cli.backends.aws.runs.build_limit import build_minutes
from mlops_cli.core.jobs.secret_addresses import address_of, addresses
from mlops_cli.core.stages import TRAINING
from mlops_cli.errors import MlopsError
from mlops_cli.project.settings.company_settings import BUILD_IMAGE
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.instances import InstanceSettings
from mlops_cli.project.usecase.use_case import UseCase

# Settings and their parameters of the pipeline's stack.
PARAMETERS = {
    "INSTANCE": "Instance",
    "SOURCE": "SourceType",
    "BRANCH": "BranchName",
    "REPOSITORY_NAME": "RepositoryName",
    "CONNECTION_ARN": "ConnectionArn",
    "FULL_REPOSITORY_ID": "FullRepositoryId",
    "NOTIFICATION_EMAIL": "NotificationEmail",
    "BUCKET_NAME": "BucketName",
    **company_account.PARAMETERS,
}
# The value of a stack without the parameter.
DEFAULTS = {"RolePath": "/", "BuildImage": BUILD_IMAGE}
# If one of these is empty, the deployed value stays. For the other settings, empty is a value.
KEPT_IF_NOT_SET = ("SOURCE", "CONNECTION_ARN", "FULL_REPOSITORY_ID", "BUCKET_NAME")
SOURCE_OF = {"REPOSITORY_NAME": "codecommit", "CONNECTION_ARN": "connection", "FULL_REPOSITORY_ID": "connection"}
DEPLOY = "mlops deploy-infra"


def machines_of_runs(use_case: UseCase, settings: Settings, stack: Stack | None) -> InstanceSettings:
    """Return the instances of a run. The training instance is the deployed stack's, if there is a stack."""
    return use_case.machines.trained_on(stack.parameters.get("Instance", "") if stack else settings["INSTANCE"])


def differences(use_case: UseCase, settings: Settings, stack: Stack | None) -> list[str]:
    """Return, in words, the settings that differ from the stack's, with the command that deploys them."""
    if stack is None:
        return []
    return [
        *_settings(settings, stack),
        *_framework(use_case, stack),
        *_images(use_case, settings, stack),
        *_limit(use_case, stack),
        *_secrets(use_case, settings, stack),
    ]


def _limit(use_case: UseCase, stack: Stack) -> Iterator[str]:
    """Yield a difference if the gates' time limits need another build time limit than the deployed one."""
    minutes, deployed = build_minutes(use_case.time_limits), stack.parameters.get("BuildMinutes", "")
    if deployed and deployed != str(minutes):
        yield (
            f"with [time_limits] a gate's build may take {minutes} minutes, and the pipeline was deployed with "
            f"{deployed}, which is used until: {DEPLOY}"
        )


def _framework(use_case: UseCase, stack: Stack) -> Iterator[str]:
    """Yield a difference if a deployed image is neither the use case's own nor one of its framework."""
    framework = use_case.framework
    images = {
        "TrainingImage": ("training_image", use_case.training_image, framework.training_repository),
        "ServingImage": ("serving_image", use_case.serving_image, framework.repository),
    }
    for parameter, (key, own, repository) in images.items():
        deployed = stack.parameters.get(parameter, "")
        is_expected = deployed == own if own else deployed.rpartition("/")[2].partition(":")[0] == repository
        if deployed and not is_expected:
            named = f"[model] {key} is {own}" if own else f"[model] framework is {framework.name}"
            yield f"{named}, and the pipeline was deployed with the image {deployed}, which is used until: {DEPLOY}"


def _secrets(use_case: UseCase, settings: Settings, stack: Stack) -> Iterator[str]:
    """Yield a difference if the deployed roles cannot read a secret of the use case."""
    deployed = [arn for arn in stack.parameters.get("ReadableArns", "").split(",") if arn]
    address_by_name = addresses(use_case.passed.secrets, settings.endpoint_name(use_case.name))
    readable = {address_of(arn) for arn in deployed}
    unreadable = [name for name, address in address_by_name.items() if address not in readable]
    if unreadable:
        yield (
            f"[secrets] has {', '.join(unreadable)}, and the pipeline was deployed without the permission to read it, "
            f"which is missing until: {DEPLOY}"
        )


def _settings(settings: Settings, stack: Stack) -> Iterator[str]:
    for name, parameter in PARAMETERS.items():
        setting, deployed = settings.values[name], stack.parameters.get(parameter, DEFAULTS.get(parameter, ""))
        keeps = name in KEPT_IF_NOT_SET and (setting.origin == "default" or not setting.text)
        belongs = stack.parameters.get("SourceType", "") == SOURCE_OF.get(name, stack.parameters.get("SourceType", ""))
        if setting.text != deployed and belongs and not keeps:
            yield (
                f"{name} is {setting.text or 'empty'} ({setting.origin}), and the pipeline was deployed with "
                f"{deployed or 'none'}, which is used until: {DEPLOY}"
            )


def _images(use_case: UseCase, settings: Settings, stack: Stack) -> Iterator[str]:
    """Yield a difference if the deployed image does not fit the instance type: images are for CPUs or for GPUs."""
    hosting = use_case.machines.endpoint
    train = machines_of_runs(use_case, settings, stack).of(TRAINING).instance_type
    instances = {"TrainingImage": train, **({} if hosting.serverless else {"ServingImage": hosting.instance_type})}
    for parameter, instance in instances.items():
        processor = "gpu" if re.match(r"ml\.[gp]", instance) else "cpu"
        deployed = re.search("-(cpu|gpu)", stack.parameters.get(parameter, "").rpartition(":")[2])
        if deployed and deployed[1] != processor:
            yield (
                f"{instance} takes an image for {processor.upper()}s, and the pipeline was deployed with one for "
                f"{deployed[1].upper()}s, which is used until: {DEPLOY}"
            )


def check_deployed_path(root: Path, folders: Sequence[Path], stack: Stack | None) -> None:
    """Raise MlopsError if the pipeline was deployed for another path of the project within its source."""
    parameters = stack.parameters if stack else {}
    path, deployed = project_path(root, folders, parameters.get("SourceType", "")), parameters.get(PARAMETER, "")
    if path != deployed:
        raise MlopsError(
            f"The project is in {_named(path)} of its source, and the pipeline was deployed for {_named(deployed)}.",
            "Bring it up to date: mlops deploy-infra",
        )


def _named(path: str) -> str:
    return f"the folder {path}" if path else "the root"
