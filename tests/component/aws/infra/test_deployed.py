"""Prices, checks and notes follow the settings of the deployed pipeline."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops_cli.backends.aws.clients.cloudformation import Stack
from mlops_cli.backends.aws.infra import stack_parameters
from mlops_cli.backends.aws.infra.deployed_settings import differences, machines_of_runs
from mlops_cli.backends.base import CostScope
from mlops_cli.core.stages import TRAINING
from mlops_cli.frameworks import tensorflow
from mlops_cli.project.settings.values import resolve
from mlops_cli.project.usecase.reader import load_use_case
from mlops_cli.project.usecase.use_case import UseCase
from tests.component.aws.conftest import Scenario
from tests.conftest import USE_CASES

IMAGES = {
    "TrainingImage": "1.ecr/tensorflow-training:2.21-cpu-py312",
    "ServingImage": "1.ecr/tensorflow-inference:2.20-cpu",
}
DEPLOYED = {"SourceType": "codecommit", "BranchName": "main", "BucketName": "the-bucket", **IMAGES}


@pytest.fixture
def use_case() -> UseCase:
    return replace(load_use_case(USE_CASES / "tiny" / "training" / "usecase.toml"), framework=tensorflow.FRAMEWORK)


def stack(**parameters: str) -> Stack:
    return Stack("s", "id", "CREATE_COMPLETE", outputs={"PipelineName": "p"}, parameters={**DEPLOYED, **parameters})


@pytest.mark.parametrize(
    ("settings", "parameters", "beginnings"),
    [
        ({}, {}, []),
        ({"INSTANCE": "ml.c5.xlarge"}, {"Instance": "ml.c5.xlarge"}, []),
        (
            {"INSTANCE": "ml.c5.xlarge"},
            {},
            ["INSTANCE is ml.c5.xlarge (.env), and the pipeline was deployed with none"],
        ),
        ({}, {"Instance": "ml.c5.xlarge"}, ["INSTANCE is empty (default), and the pipeline was deployed with ml.c5"]),
        ({"BRANCH": "release"}, {}, ["BRANCH is release (.env), and the pipeline was deployed with main"]),
        ({"SOURCE": "s3"}, {}, ["SOURCE is s3 (.env), and the pipeline was deployed with codecommit"]),
        ({}, {"SourceType": "s3"}, []),
        ({"REPOSITORY_NAME": "mine"}, {}, ["REPOSITORY_NAME is mine (.env)"]),
        ({"REPOSITORY_NAME": "mine"}, {"SourceType": "s3"}, []),
        ({}, {"SourceType": "connection", "ConnectionArn": "arn:1", "FullRepositoryId": "a/b"}, []),
        (
            {"FULL_REPOSITORY_ID": "a/c"},
            {"SourceType": "connection", "FullRepositoryId": "a/b"},
            ["FULL_REPOSITORY_ID"],
        ),
        ({"NOTIFICATION_EMAIL": "a@b.org"}, {}, ["NOTIFICATION_EMAIL is a@b.org (.env)"]),
        ({}, {"NotificationEmail": "a@b.org"}, ["NOTIFICATION_EMAIL is empty (default)"]),
        ({"BUCKET_NAME": "other"}, {}, ["BUCKET_NAME is other (.env), and the pipeline was deployed with the-bucket"]),
        (
            {},
            {"TrainingImage": "1.ecr/tensorflow-training:2.21-gpu-py312-cu125"},
            ["ml.m5.xlarge takes an image for CPUs"],
        ),
        ({}, {"RolePath": "/"}, []),
        ({"ROLE_PATH": "/ml/"}, {}, ["ROLE_PATH is /ml/ (.env), and the pipeline was deployed with /"]),
        ({}, {"KmsKeyArn": "arn:k"}, ["KMS_KEY_ARN is empty (default), and the pipeline was deployed with arn:k"]),
        ({}, {"BuildMinutes": "60"}, []),
        ({}, {"BuildMinutes": "90"}, ["with [time_limits] a gate's build may take 60 minutes, and the pipeline"]),
        ({}, {"Instance": "ml.g5.xlarge"}, ["INSTANCE is empty", "ml.g5.xlarge takes an image for GPUs"]),
    ],
    ids=str,
)
def test_settings_that_differ_from_the_deployed_ones_are_reported_with_a_fix(
    use_case: UseCase, settings: dict[str, str], parameters: dict[str, str], beginnings: list[str]
) -> None:
    result = differences(use_case, resolve({}, {}, settings), stack(**parameters))
    assert [text[: len(start)] for text, start in zip(result, beginnings, strict=True)] == beginnings
    assert all(text.endswith("until: mlops deploy-infra") for text in result)


def test_runs_get_the_instance_that_was_deployed_and_before_that_the_one_that_is_set(use_case: UseCase) -> None:
    settings = resolve({}, {}, {"INSTANCE": "ml.g5.xlarge"})
    assert machines_of_runs(use_case, settings, None).of(TRAINING).instance_type == "ml.g5.xlarge"
    assert machines_of_runs(use_case, settings, stack()).of(TRAINING).instance_type == "ml.m5.xlarge"
    assert (
        machines_of_runs(use_case, settings, stack(Instance="ml.c5.xlarge")).of(TRAINING).instance_type
        == "ml.c5.xlarge"
    )
    assert differences(use_case, settings, None) == []


def test_costs_quotas_and_texts_are_those_of_the_deployed_settings(scenario: Scenario) -> None:
    scenario.backend(INSTANCE="ml.c5.xlarge").infra.deploy()
    backend = scenario.backend(INSTANCE="ml.c5.2xlarge")
    resources = [line.resource for line in backend.infra.costs(CostScope.REPRODUCTION).lines]
    assert "train: ml.c5.xlarge" in resources
    (difference,) = backend.infra.undeployed_settings()
    assert difference.startswith("INSTANCE is ml.c5.2xlarge (option), and the pipeline was deployed with ml.c5.xlarge")
    findings = list(backend.run_checks())
    assert any(
        finding.name == "quota" and "ml.c5.xlarge for training job usage" in finding.message for finding in findings
    )
    assert [finding for finding in findings if finding.name == "requirements"] == [], "the tiny use case has none"
    (warning,) = [finding for finding in findings if finding.name == "settings"]
    assert (warning.message.split(" (")[0], warning.fix) == ("INSTANCE is ml.c5.2xlarge", "mlops deploy-infra")
    backend.infra.deploy()
    assert "train: ml.c5.2xlarge" in [line.resource for line in backend.infra.costs(CostScope.REPRODUCTION).lines]
    assert backend.infra.undeployed_settings() == []


OWN = "210987654321.dkr.ecr.us-east-1.amazonaws.com/ours/tiny:{}"


@pytest.mark.parametrize(
    ("key", "own", "deployed", "beginnings"),
    [
        ("serving_image", OWN.format(7), OWN.format(7), []),
        (
            "serving_image",
            OWN.format(8),
            OWN.format(7),
            [f"[model] serving_image is {OWN.format(8)}, and the pipeline"],
        ),
        ("training_image", OWN.format(7), IMAGES["TrainingImage"], ["[model] training_image is "]),
        ("training_image", "", OWN.format(7), ["[model] framework is tensorflow, and the pipeline was deployed with"]),
    ],
)
def test_custom_images_are_compared_with_the_deployed_ones(
    use_case: UseCase, key: str, own: str, deployed: str, beginnings: list[str]
) -> None:
    parameter = {"serving_image": "ServingImage", "training_image": "TrainingImage"}[key]
    shown = differences(replace(use_case, **{key: own}), resolve({}, {}, {}), stack(**{parameter: deployed}))
    assert len(shown) == len(beginnings)
    assert all(text.startswith(beginning) for text, beginning in zip(shown, beginnings, strict=True))


def test_the_roles_pull_from_the_repositories_of_images_of_one_s_own(use_case: UseCase) -> None:
    mirrored = resolve({"IMAGE_REGISTRY": "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror"}, {}, {})
    values = stack_parameters._images(mirrored, replace(use_case, serving_image=OWN.format(7)), "us-east-1")
    assert values["ServingImage"] == OWN.format(7)
    assert values["ServingRepository"] == "us-east-1:210987654321:repository/ours/tiny"
    assert values["TrainingImage"].startswith(
        "123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror/tensorflow-training:"
    )
