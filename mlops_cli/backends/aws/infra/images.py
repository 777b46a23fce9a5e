"""The addresses of SageMaker's container images, from its SDK."""

from __future__ import annotations

from mlops_cli.errors import MlopsError
from mlops_cli.frameworks.base import Framework, Image
from mlops_cli.packaging.install_hint import install_command


def training_image(framework: Framework, version: str, region: str, instance_type: str) -> str:
    """Return the image for CPU or GPU, depending on the instance type; ``version``: empty for the framework's own."""
    return _retrieve(framework, framework.training, version, "training", region, instance_type)


def serving_image(framework: Framework, version: str, region: str, instance_type: str) -> str:
    return _retrieve(framework, framework.serving, version, "inference", region, instance_type)


def _retrieve(framework: Framework, image: Image, version: str, scope: str, region: str, instance_type: str) -> str:
    try:
        from sagemaker.core import image_uris  # type: ignore[import-untyped]
    except ImportError:
        raise MlopsError(
            "The aws target needs the SageMaker SDK, which knows the container images.",
            f"Install it: {install_command('aws')}",
        ) from None
    chosen = version or image.version
    try:
        uri = image_uris.retrieve(
            framework=framework.name,
            region=region,
            version=chosen,
            # The SDK knows the Python of a version of one's own.
            py_version=(image.python or None) if chosen == image.version else None,
            base_framework_version=image.base_framework or None,
            instance_type=instance_type,
            image_scope=scope,
        )
    except ValueError as error:
        reason = str(error).split(". ")[0].rstrip(".")
        raise MlopsError(
            f"SageMaker has no {framework.title} {chosen} {scope} image for {instance_type} in {region}: {reason}.",
            "Choose another region, instance type or [model] version: mlops config shows where they are set.",
        ) from None
    return str(uri)
