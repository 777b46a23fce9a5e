"""Images in a company's own registry: their addresses, the ARNs that roles pull from, and the settings' forms."""

from __future__ import annotations

import pytest

from mlops_cli.backends.aws.infra.image_registry import STORED_IMAGES, by_use, image_id, in_registry, repository
from mlops_cli.errors import ConfigurationError
from mlops_cli.project.settings.values import resolve

REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = f"sha256:{'0' * 64}"
AWS = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/tensorflow-training:2.21-cpu-py312"


@pytest.mark.parametrize("registry", [REGISTRY, f"{REGISTRY}/mirror/aws"])
def test_an_image_has_the_same_name_and_tag_in_the_registry(registry: str) -> None:
    settings = resolve({}, {"IMAGE_REGISTRY": registry}, {}).validated()
    own = in_registry(AWS, settings["IMAGE_REGISTRY"])
    assert own == f"{registry}/tensorflow-training:2.21-cpu-py312"
    assert repository(own).endswith("tensorflow-training")
    assert in_registry(AWS, "") == AWS
    assert by_use(settings) == (STORED_IMAGES,)


@pytest.mark.parametrize(
    ("address", "arn", "identity"),
    [
        (f"{REGISTRY}/a/b:1", "eu-west-1:123456789012:repository/a/b", {"imageTag": "1"}),
        (f"{REGISTRY}/a@{DIGEST}", "eu-west-1:123456789012:repository/a", {"imageDigest": DIGEST}),
        (f"{REGISTRY}.cn/a", "eu-west-1:123456789012:repository/a", {"imageTag": "latest"}),
    ],
)
def test_an_address_names_its_repository_and_image(address: str, arn: str, identity: dict[str, str]) -> None:
    assert (repository(address), image_id(address)) == (arn, identity)


def test_an_image_of_codebuild_is_in_no_repository() -> None:
    settings = resolve({}, {}, {}).validated()
    assert repository(settings["BUILD_IMAGE"]) == ""
    assert by_use(settings) == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IMAGE_REGISTRY", f"https://{REGISTRY}"),
        ("IMAGE_REGISTRY", f"{REGISTRY}/"),
        ("IMAGE_REGISTRY", "registry.example.org/mirror"),
        ("BUILD_IMAGE", "python:3.12"),
        ("BUILD_IMAGE", f"{REGISTRY}/builds"),
    ],
)
def test_what_neither_codebuild_nor_sagemaker_pulls_from_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is "):
        resolve({}, {name: value}, {}).validated()
