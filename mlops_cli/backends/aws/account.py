"""The AWS account of a command: caller, region, and clients that raise readable errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlops_cli.backends.aws.errors import NO_REGION, missing_credentials, raise_aws_errors, resource_in_call
from mlops_cli.errors import ConfigurationError, MlopsError

ATTEMPTS = 10
# For a command's first call, so that a missing network is reported soon, and for optional calls.
FEW = ("sts", "pricing")
FEW_ATTEMPTS = 6
CONNECT_SECONDS = 10
# SageMaker gives a model 60 seconds for a response.
READ_SECONDS = 70


@dataclass(frozen=True)
class Identity:
    """The caller. ``credentials`` names their source: env, sso, shared-credentials-file, container-role, ..."""

    account: str
    arn: str
    region: str
    profile: str
    credentials: str

    @property
    def partition(self) -> str:
        return self.arn.split(":")[1]

    def __str__(self) -> str:
        by = f"profile {self.profile}" if self.profile else f"credentials from {self.credentials}"
        return f"account {self.account}, region {self.region}, {by}, as {self.arn}"


class Client:
    """A boto3 client; every call raises AwsError instead of botocore's errors."""

    def __init__(self, client: Any, profile: str) -> None:
        self.raw = client
        self._profile = profile

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        method = getattr(self.raw, operation)

        def call(*arguments: Any, **parameters: Any) -> Any:
            with raise_aws_errors(self.raw.meta.service_model, self._profile, resource_in_call(parameters)):
                return method(*arguments, **parameters)

        return call

    def reading(self) -> AbstractContextManager[None]:
        """Translate errors while the body of a response is read, such as a broken connection, into AwsError."""
        return raise_aws_errors(self.raw.meta.service_model, self._profile)

    def pages(self, operation: str, items: str, **parameters: Any) -> Iterator[Any]:
        """Yield the entries ``items`` of all pages of an operation."""
        with raise_aws_errors(self.raw.meta.service_model, self._profile, resource_in_call(parameters)):
            for page in self.raw.get_paginator(operation).paginate(**parameters):
                yield from page.get(items) or ()


class Account:
    """One boto3 session and its clients.

    ``is_explicit``: the user named the profile in a setting or option. Only then it beats access keys in environment
    variables, as in every other AWS tool.
    """

    def __init__(self, region: str, profile: str, is_explicit: bool = True) -> None:
        self._region = region
        self.profile = profile
        self._is_explicit = is_explicit
        self._clients: dict[tuple[str, str], Client] = {}

    @cached_property
    def session(self) -> Any:
        import boto3

        profile = self.profile if self._is_explicit else ""
        with raise_aws_errors(None, self.profile):
            return boto3.Session(profile_name=profile or None, region_name=self._region or None)

    def missing(self) -> Iterator[tuple[str, str]]:
        """Yield a problem and its fix if the region or the credentials are missing. Send no request to AWS."""
        try:
            with raise_aws_errors(None, self.profile):
                region, credentials = self.session.region_name, self.session.get_credentials()
        except MlopsError as error:  # for example, the profile does not exist
            yield error.message, error.hint
            return
        if not region:
            yield NO_REGION
        if credentials is None:
            message, hint, _ = missing_credentials(self.profile)
            yield message, hint

    @cached_property
    def region(self) -> str:
        """Return the region of the settings, or else of the profile. Raise ConfigurationError if neither has one."""
        region = self.session.region_name
        if not region:
            raise ConfigurationError(*NO_REGION)
        return str(region)

    def client(self, service: str, region: str = "") -> Client:
        """Return the client of a service (``s3``) in this region, by default the account's. Create each client once."""
        key = (service, region or self.region)
        if key not in self._clients:
            from botocore.config import Config

            config = Config(
                region_name=key[1],
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={
                    "mode": "adaptive",
                    "total_max_attempts": FEW_ATTEMPTS if service in FEW else ATTEMPTS,
                },
                user_agent_extra="mlops-cli",
            )
            with raise_aws_errors(None, self.profile):
                client = self.session.client(service, config=config)
            self._clients[key] = Client(client, self.profile)
        return self._clients[key]

    @cached_property
    def identity(self) -> Identity:
        """Return the caller's identity as AWS knows it. This is the first call that proves the credentials valid."""
        caller = self.client("sts").get_caller_identity()
        with raise_aws_errors(None, self.profile):
            method = self.session.get_credentials().method
        profile = self.session.profile_name if method != "env" else ""
        return Identity(caller["Account"], caller["Arn"], self.region, profile, method)
