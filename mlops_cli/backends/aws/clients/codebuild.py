"""Stop builds of the pipeline's steps."""

from __future__ import annotations

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError


def stop_build(client: Client, build: str) -> None:
    """Stop a build. Nothing happens if it has finished or its project was deleted."""
    try:
        client.stop_build(id=build)
    except AwsError as error:
        if not (error.is_not_found or error.code == "InvalidInputException"):
            raise
