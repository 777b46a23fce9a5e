"""The table of container images equals the SageMaker SDK's data, and is enough by itself."""

from __future__ import annotations

import json
import sys

import pytest

from mlops_cli.backends.aws.infra import images
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import DEFAULT, framework_named
from tests.image_table import table


def test_the_table_is_made_from_the_sdk() -> None:
    assert json.loads(images.TABLE.read_text()) == table()


@pytest.fixture
def no_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sagemaker", "sagemaker.core", "sagemaker.core.image_uris"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_sdk")
def test_a_frameworks_own_version_needs_no_sdk() -> None:
    training = images.training_image(DEFAULT, "", "eu-west-1", "ml.g5.xlarge")
    assert training == "763104351884.dkr.ecr.eu-west-1.amazonaws.com/tensorflow-training:2.21-gpu-py312"
    assert images.training_image(DEFAULT, DEFAULT.training.version, "eu-west-1", "ml.g5.xlarge") == training
    assert ".amazonaws.com.cn/" in images.serving_image(DEFAULT, "", "cn-north-1", "ml.m5.large")


@pytest.mark.usefixtures("no_sdk")
@pytest.mark.parametrize(
    ("framework", "version", "instance_type"),
    [
        ("tensorflow", "2.19", "ml.m5.large"),
        ("tensorflow", "", "ml.inf2.xlarge"),
        ("sklearn", "", "ml.g5.xlarge"),
    ],
)
def test_what_the_table_lacks_needs_the_sdk(framework: str, version: str, instance_type: str) -> None:
    with pytest.raises(MlopsError) as error:
        images.training_image(framework_named(framework), version, "eu-west-1", instance_type)
    assert "Only the SageMaker SDK knows" in error.value.message
    assert "[aws]" in error.value.hint or "sagemaker-core" in error.value.hint
