"""Generate the table of container images from the SageMaker SDK's data.

``python -m tests.image_table > mlops_cli/backends/aws/infra/image_table.json``
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from mlops_cli.backends.aws.infra.images import SCOPES, image_from_sdk
from mlops_cli.errors import MlopsError
from mlops_cli.frameworks import FRAMEWORKS
from mlops_cli.frameworks.base import Framework

INSTANCES = {"cpu": "ml.m5.xlarge", "gpu": "ml.g5.xlarge"}


def regions() -> list[str]:
    from botocore.session import get_session

    session = get_session()
    partitions = session.get_available_partitions()
    return sorted(
        region for partition in partitions for region in session.get_available_regions("sagemaker", partition)
    )


def addresses(framework: Framework, scope: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield region, processor, registry and image of every address in the SDK."""
    for region in regions():
        for processor, instance_type in INSTANCES.items():
            try:
                address = image_from_sdk(framework, "", scope, region, instance_type)
            except MlopsError:
                continue
            registry, _, image = address.partition("/")
            yield region, processor, registry, image


@contextmanager
def endpoints_read_once() -> Iterator[None]:
    """Cache botocore's list of endpoints, which the SDK reads again for every address."""
    from sagemaker.core import common_utils

    read = common_utils._botocore_resolver
    common_utils._botocore_resolver = cache(read)
    try:
        yield
    finally:
        common_utils._botocore_resolver = read


def table() -> dict[str, Any]:
    """Return the images of each framework's default version, and the registries by region, without repetitions."""
    with endpoints_read_once():
        return _table()


def _table() -> dict[str, Any]:
    images: dict[str, Any] = {}
    registries: dict[str, dict[str, str]] = {}
    for framework in FRAMEWORKS:
        for scope in SCOPES:
            rows = list(addresses(framework, scope))
            by_region = {region: registry for region, _, registry, _ in rows}
            named = {image for _, _, _, image in rows}
            by_processor = {processor: image for _, processor, _, image in rows}
            assert named == set(by_processor.values()), f"{framework.name}: an image's name depends on the region"
            group = next((name for name, listed in registries.items() if listed == by_region), framework.name)
            registries[group] = by_region
            images.setdefault(framework.name, {})[scope] = {"registries": group, "images": by_processor}
    return {"images": images, "registries": registries}


if __name__ == "__main__":
    print(json.dumps(table(), indent=1))
