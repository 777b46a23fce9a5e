"""Container images: nothing is pulled, but the role must be allowed to."""

from __future__ import annotations

import re

from aws_simulator.errors import ServiceError
from aws_simulator.roles import Caller
from aws_simulator.sagemaker.storage import Failure

ADDRESS = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>[^:@]+)([:@].+)?"
)
PULLING = ("ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage")


def pull(image: str, role: Caller) -> None:
    """Raises Failure in SageMaker's words if the image's address is none, or the role may not pull it."""
    address = ADDRESS.fullmatch(image)
    if address is None:
        raise Failure(f"ClientError: Invalid image URI {image}. Please specify a valid image URI.")
    repository = f"arn:aws:ecr:{address['region']}:{address['account']}:repository/{address['name']}"
    try:
        role.require("ecr:GetAuthorizationToken")
        for action in PULLING:
            role.require(action, repository)
    except ServiceError as error:
        words = "Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
        raise Failure(f"ClientError: {words} ({error.message})") from error
