"""The pipeline's variables: how what is asked of a run reaches its steps. No IO."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from mlops_cli.errors import ConfigurationError

# What pipeline variables say when nothing is asked for: they cannot be empty.
NO_STAGE, NO = "-", "false"


def encode_start(stage: str, run_id: str = "") -> str:
    """The variable ``from``: the first own stage, and the run whose earlier ones are taken over (else the newest)."""
    return f"{stage}@{run_id}" if run_id else stage or NO_STAGE


def decode_start(variable: str) -> tuple[str, str]:
    """What ``start_from`` was given; no stage when nothing was."""
    stage, _, run_id = variable.partition("@")
    return ("" if stage == NO_STAGE else stage), run_id


def encode(overrides: Mapping[str, str]) -> str:
    """Overrides as a pipeline variable, whose characters pass through every layer unchanged."""
    return base64.urlsafe_b64encode(json.dumps(dict(overrides), sort_keys=True).encode()).decode().rstrip("=")


def decode(variable: str) -> dict[str, str]:
    """Raises ConfigurationError for what ``encoded`` has not made."""
    try:
        values = json.loads(base64.urlsafe_b64decode(variable + "=" * (-len(variable) % 4)))
        return {str(name): str(value) for name, value in values.items()}
    except (ValueError, AttributeError):
        raise ConfigurationError(
            f"The pipeline variable overrides is {variable!r}, expected JSON in base64url.", "Start it by: mlops run"
        ) from None
