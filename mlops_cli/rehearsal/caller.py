"""The permissions of the caller in a rehearsal: exactly those that `mlops doctor` checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops_cli.backends.aws import company_account
from mlops_cli.backends.aws.doctor.required_permissions import (
    ArnContext,
    policy,
    required_permissions,
)
from mlops_cli.backends.aws.resource_names import ResourceNames, generated_bucket
from mlops_cli.project.usecase.use_case import UseCase

ACCOUNT = "123456789012"


def caller_policy(settings: Mapping[str, str], use_case: UseCase, endpoint: str, region: str) -> dict[str, Any]:
    """Return the policy for a project with these settings in the simulated account. A named bucket exists there."""
    names = ResourceNames(use_case.name, settings["STAGE"])
    return policy(
        required_permissions(
            ArnContext(
                partition="aws",
                region=region,
                account=ACCOUNT,
                names=names,
                endpoint=endpoint,
                bucket=settings["BUCKET_NAME"] or generated_bucket(names),
                owned=not settings["BUCKET_NAME"],
                source=settings["SOURCE"],
                repository=settings["REPOSITORY_NAME"] or endpoint,
                connection="",
                sends_mail=bool(settings["NOTIFICATION_EMAIL"]),
                company={name: settings[name] for name in company_account.PARAMETERS},
                has_secrets=bool(use_case.passed.secrets),
                images=use_case.own_images,
            )
        )
    )
