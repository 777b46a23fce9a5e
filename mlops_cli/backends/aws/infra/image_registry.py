"""A company's own registry in ECR: its repositories hold AWS's images under AWS's names."""

from __future__ import annotations

import re

from mlops_cli.project.settings.values import Settings

ADDRESS = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/"
    r"(?P<name>[^:@]+)(:(?P<tag>[^@]+))?(@(?P<digest>.+))?"
)
STORED_IMAGES = "the images in your registry by GB"


def in_registry(address: str, registry: str) -> str:
    """Return the image's address in the registry; without a registry, the address unchanged."""
    return f"{registry}/{address.partition('/')[2]}" if registry else address


def repository(address: str) -> str:
    """Return REGION:ACCOUNT:repository/NAME, the end of the ARN of an image's repository; empty outside of ECR."""
    match = ADDRESS.fullmatch(address)
    return f"{match['region']}:{match['account']}:repository/{match['name']}" if match else ""


def image_id(address: str) -> dict[str, str]:
    """Return an image's tag or digest in the form of ECR's API."""
    match = ADDRESS.fullmatch(address)
    assert match is not None, address
    return {"imageDigest": match["digest"]} if match["digest"] else {"imageTag": match["tag"] or "latest"}


def by_use(settings: Settings) -> tuple[str, ...]:
    """Return the usage costs of a company's own registry, which no estimate includes."""
    own = settings["IMAGE_REGISTRY"] or repository(settings["BUILD_IMAGE"])
    return (STORED_IMAGES,) if own else ()
