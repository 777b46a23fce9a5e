"""Builds of the pipeline's steps, as commands use them outside of it: stop."""

from __future__ import annotations

from mlops_cli.backends.aws.account import Client
from mlops_cli.backends.aws.errors import AwsError


def stop_build(client: Client, build: str) -> None:
    """Stop a build; one that has ended, or whose project is gone, stays unchanged."""
    try:
        client.stop_build(id=build)
    except AwsError as error:
        if not (error.is_not_found or error.code == "InvalidInputException"):
            raise
