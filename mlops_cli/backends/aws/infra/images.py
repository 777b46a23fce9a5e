"""Addresses of SageMaker's images: from a table for the frameworks' default versions, else from SageMaker's SDK.

The table avoids an import of one second and an installation of 448 MB. ``python -m tests.image_table`` generates it
from the SDK's data, and a test compares both.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlops_cli.errors import MlopsError
from mlops_cli.frameworks.base import Framework, Image
from mlops_cli.packaging.install_hint import install_command

SCOPES = ("training", "inference")
TABLE = Path(__file__).with_name("image_table.json")
# Instance families with special processors, which need special images.
OTHER_PROCESSORS = ("inf", "trn")
GPU_FAMILIES = ("g", "p")


def training_image(framework: Framework, version: str, region: str, instance_type: str) -> str:
    """Return the image for CPU or GPU, by instance type. ``version``: empty for the framework's default version."""
    return _address(framework, version, "training", region, instance_type)


def serving_image(framework: Framework, version: str, region: str, instance_type: str) -> str:
    return _address(framework, version, "inference", region, instance_type)


def _address(framework: Framework, version: str, scope: str, region: str, instance_type: str) -> str:
    if version in ("", _image(framework, scope).version):
        address = image_from_table(framework, scope, region, instance_type)
        if address:
            return address
    return image_from_sdk(framework, version, scope, region, instance_type)


def _image(framework: Framework, scope: str) -> Image:
    return framework.training if scope == SCOPES[0] else framework.serving


def image_from_table(framework: Framework, scope: str, region: str, instance_type: str) -> str:
    """Return the address of the default version; empty if the table lacks the instance type or region."""
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    entry = table["images"].get(framework.name, {}).get(scope)
    family = instance_type.removeprefix("ml.")
    if entry is None or family.startswith(OTHER_PROCESSORS):
        return ""
    registry = table["registries"][entry["registries"]].get(region)
    image = entry["images"].get("gpu" if family.startswith(GPU_FAMILIES) else "cpu")
    return f"{registry}/{image}" if registry and image else ""


def image_from_sdk(framework: Framework, version: str, scope: str, region: str, instance_type: str) -> str:
    """Return the address from the SDK's data. Raise MlopsError if the SDK is not installed or lacks the image."""
    image = _image(framework, scope)
    try:
        from sagemaker.core import image_uris  # type: ignore[import-untyped]
    except ImportError:
        raise MlopsError(
            f"Only the SageMaker SDK knows the {framework.title} {version or image.version} image for {instance_type}"
            f" in {region}.",
            f"Install it: {install_command('aws')}",
        ) from None
    chosen = version or image.version
    try:
        uri = image_uris.retrieve(
            framework=framework.name,
            region=region,
            version=chosen,
            # For another version than the default, only the SDK knows the Python version.
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
