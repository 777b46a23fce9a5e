"""The targets. Only this module creates backends and the reader of S3 data sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend
    from mlops_cli.data.objects import ObjectStore
    from mlops_cli.project.paths import Project
    from mlops_cli.project.settings.values import Settings
    from mlops_cli.project.usecase.use_case import UseCase


def get_backend(settings: Settings, project: Project, use_case: UseCase) -> Backend:
    """Return the backend of the chosen target; raise ConfigurationError for invalid settings."""
    settings.validated()
    if settings.target == "aws":
        from mlops_cli.backends.aws.backend import AwsBackend

        return AwsBackend(project, use_case, settings)
    from mlops_cli.backends.local.backend import LocalBackend

    return LocalBackend(project, use_case, settings)


def object_store(settings: Settings) -> ObjectStore:
    """Return the reader of S3 data sources for every target. It loads boto3 on first use."""
    from mlops_cli.backends.aws.objects import S3Objects

    return S3Objects(settings)
