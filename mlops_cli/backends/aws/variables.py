"""The pipeline's variables: how what is asked of a run reaches its steps. No IO."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from mlops_cli.errors import ConfigurationError

# What pipeline variables say when nothing is asked for: they cannot be empty.
NO_STAGE, NO = "-", "false"


def encoded(overrides: Mapping[str, str]) -> str:
    """Overrides as a pipeline variable, whose characters pass through every layer unchanged."""
    return base64.urlsafe_b64encode(json.dumps(dict(overrides), sort_keys=True).encode()).decode().rstrip("=")


def decoded(variable: str) -> dict[str, str]:
    """Raises ConfigurationError for what ``encoded`` has not made."""
    try:
        values = json.loads(base64.urlsafe_b64decode(variable + "=" * (-len(variable) % 4)))
        return {str(name): str(value) for name, value in values.items()}
    except (ValueError, AttributeError):
        raise ConfigurationError(
            f"The pipeline variable overrides is {variable!r}, expected JSON in base64url.", "Start it by: mlops run"
        ) from None
