"""The addresses of SageMaker's TensorFlow container images, from its SDK."""

from __future__ import annotations

from mlops_cli.errors import MlopsError
from mlops_cli.packaging.install_hint import install_command

TRAINING_VERSION = "2.21"
TRAINING_PYTHON = "py312"
# The serving image is older than the training image; a gate proves on every run that it loads the model.
SERVING_VERSION = "2.20"


def training_image(region: str, instance_type: str) -> str:
    """Return the image for CPU or GPU, depending on the instance type."""
    return _retrieve(region, TRAINING_VERSION, "training", instance_type, TRAINING_PYTHON)


def serving_image(region: str, instance_type: str) -> str:
    return _retrieve(region, SERVING_VERSION, "inference", instance_type, None)


def _retrieve(region: str, version: str, scope: str, instance_type: str, python: str | None) -> str:
    try:
        from sagemaker.core import image_uris  # type: ignore[import-untyped]
    except ImportError:
        raise MlopsError(
            "The aws target needs the SageMaker SDK, which knows the container images.",
            f"Install it: {install_command('aws')}",
        ) from None
    try:
        uri = image_uris.retrieve(
            framework="tensorflow",
            region=region,
            version=version,
            py_version=python,
            instance_type=instance_type,
            image_scope=scope,
        )
    except ValueError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise MlopsError(
            f"SageMaker has no TensorFlow {version} {scope} image for {instance_type} in {region}: {reason}.",
            "Choose another region or instance type: mlops config shows where they are set.",
        ) from None
    return str(uri)
