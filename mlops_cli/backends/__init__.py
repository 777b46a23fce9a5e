"""The targets. ``get_backend`` is the only place that knows how a backend is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_cli.errors import ConfigurationError

if TYPE_CHECKING:
    from mlops_cli.backends.base import Backend
    from mlops_cli.config import Settings
    from mlops_cli.project import Project
    from mlops_cli.usecase import UseCase


def check_target(settings: Settings) -> None:
    """Raises ConfigurationError for a target that this version does not have."""
    if settings.target == "aws":
        raise ConfigurationError(
            f"The target aws is not there yet (chosen by: {settings.values['MLOPS_TARGET'].origin}).",
            "Use the local target: mlops --target local ...",
        )


def get_backend(settings: Settings, project: Project, use_case: UseCase) -> Backend:
    """The backend of the chosen target; raises ConfigurationError for bad settings."""
    settings.validated()
    check_target(settings)
    from mlops_cli.backends.local.backend import LocalBackend

    return LocalBackend(project, use_case, settings)
