"""The outputs of a project's pipeline stack, for a command or a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.company_account import CompanyAccount
from mlops_cli.errors import ConfigurationError


@dataclass(frozen=True)
class StackOutputs:
    """``prefix``: the project's key prefix in the bucket. Images are addresses, roles are ARNs.

    ``endpoint_template``: the full key of the endpoint's template that `mlops deploy-infra` uploaded.
    """

    bucket: str
    prefix: str
    pipeline: str
    endpoint: str
    model_group: str
    job_role: str
    model_role: str
    training_image: str
    serving_image: str
    endpoint_template: str
    company: CompanyAccount = field(default_factory=CompanyAccount)


OUTPUTS = {
    "bucket": "BucketName",
    "prefix": "KeyPrefix",
    "pipeline": "PipelineName",
    "endpoint": "EndpointName",
    "model_group": "ModelPackageGroup",
    "job_role": "JobRoleArn",
    "model_role": "ModelRoleArn",
    "training_image": "TrainingImage",
    "serving_image": "ServingImage",
    "endpoint_template": "EndpointTemplateKey",
}
VARIABLES = {
    "bucket": "MLOPS_BUCKET",
    "prefix": "MLOPS_KEY_PREFIX",
    "pipeline": "MLOPS_PIPELINE",
    "endpoint": "MLOPS_ENDPOINT_NAME",
    "model_group": "MLOPS_MODEL_GROUP",
    "job_role": "MLOPS_JOB_ROLE",
    "model_role": "MLOPS_MODEL_ROLE",
    "training_image": "MLOPS_TRAINING_IMAGE",
    "serving_image": "MLOPS_SERVING_IMAGE",
    "endpoint_template": "MLOPS_ENDPOINT_TEMPLATE",
}
# Names of the company's settings, which may be empty.
COMPANY_OUTPUT, COMPANY_VARIABLE = "CompanySettings", "MLOPS_COMPANY_SETTINGS"


def from_stack(outputs: Mapping[str, str]) -> StackOutputs:
    """Raise ConfigurationError if the stack lacks an output, because another version of mlops deployed it."""
    return _stack_outputs(
        outputs,
        OUTPUTS,
        company_account.read(outputs.get(COMPANY_OUTPUT, "")),
        "The pipeline stack has no output",
        "Bring it up to date: mlops deploy-infra",
    )


def from_environment(variables: Mapping[str, str]) -> StackOutputs:
    """Raise ConfigurationError outside of a step, where these variables are not set."""
    return _stack_outputs(
        variables,
        VARIABLES,
        company_account.read(variables.get(COMPANY_VARIABLE, "")),
        "This process is not a step of the pipeline: it has no variable",
        "On your own machine: mlops run, or mlops --target local stage ...",
    )


def _stack_outputs(
    source: Mapping[str, str], names: Mapping[str, str], company: CompanyAccount, lacking: str, hint: str
) -> StackOutputs:
    missing = [name for name in names.values() if not source.get(name)]
    if missing:
        raise ConfigurationError(f"{lacking} {', '.join(missing)}.", hint)
    return StackOutputs(**{field: source[name] for field, name in names.items()}, company=company)
