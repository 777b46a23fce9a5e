"""Container images: nothing is pulled, but the role needs the permission."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from aws_simulator.errors import ServiceError
from aws_simulator.permissions.roles import Caller, root
from aws_simulator.services.sagemaker.storage import Failure

if TYPE_CHECKING:
    from aws_simulator.simulator import Simulator

ADDRESS = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)((?P<kind>[:@])(?P<version>.+))?"
)
PULLING = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")


def pull(simulator: Simulator, image: str, role: Caller) -> None:
    """Raise Failure with SageMaker's text if the image's address is invalid or the role may not pull it."""
    address = ADDRESS.fullmatch(image)
    if address is None:
        raise Failure(f"ClientError: Invalid image URI {image}. Please specify a valid image URI.")
    repository = f"arn:aws:ecr:{address['region']}:{address['account']}:repository/{address['name']}"
    try:
        role.require("ecr:GetAuthorizationToken")
        for action in PULLING:
            role.require(action, repository)
        _require_image(simulator, role, address)
    except ServiceError as error:
        words = "Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
        raise Failure(f"ClientError: {words} ({error.message})") from error


def _require_image(simulator: Simulator, role: Caller, address: re.Match[str]) -> None:
    """Raise ServiceError for a missing image of the account itself. Images of other accounts count as existing."""
    if address["account"] != role.account:
        return
    identity = {"imageDigest" if address["kind"] == "@" else "imageTag": address["version"] or "latest"}
    try:
        simulator.client("ecr", root()).describe_images(repositoryName=address["name"], imageIds=[identity])
    except ClientError as error:
        raise ServiceError(error.response["Error"]["Code"], error.response["Error"]["Message"]) from error
