"""The pipeline's variables: how the options of a run are encoded for its steps. No IO."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from mlops_cli.backends.aws.models.approval_summary import DecisionDetails, read_summary, summary_of
from mlops_cli.errors import ConfigurationError
from mlops_cli.files.json_text import parse_json

# Variables from a step to the next steps of the same run: the version of the run's record that it has written, and the
# name of the folder of the run's checkpoints. No step of another run can read them.
RECORD, CHECKPOINTS = "MLOPS_RECORD", "MLOPS_CHECKPOINTS"
# Defaults of the pipeline variables: they cannot be empty.
NO_STAGE, NO, NO_ROLLBACK = "-", "false", "-"
LENGTH = 1000


def encode_start(stage: str, run_id: str = "", version: str = "") -> str:
    """Return the variable ``from``: the first stage to run, and the run to copy the earlier stages from.

    ``version``: the version of that run's record, if that run has not reached a deciding step.
    """
    source = f"{run_id}:{version}" if version else run_id
    return f"{stage}@{source}" if source else stage or NO_STAGE


def decode_start(variable: str) -> tuple[str, str, str]:
    """Return the arguments of ``encode_start``. The stage is empty if there were none."""
    stage, _, source = variable.partition("@")
    run_id, _, version = source.partition(":")
    return ("" if stage == NO_STAGE else stage), run_id, version


def encode(overrides: Mapping[str, str]) -> str:
    """Return the overrides as a pipeline variable, in characters that every layer passes on unchanged."""
    return _encode(json.dumps(dict(overrides), sort_keys=True))


def decode(variable: str) -> dict[str, str]:
    """Return the overrides. Raise ConfigurationError for a text that ``encode`` has not produced."""
    try:
        values = parse_json(_decode(variable))
        return {str(name): str(value) for name, value in values.items()}
    except (ValueError, AttributeError):
        raise ConfigurationError(
            f"The pipeline variable overrides is {variable!r}, expected JSON in base64url.", "Start it by: mlops run"
        ) from None


def readable(variable: str) -> dict[str, str] | None:
    """Return the overrides; None for a text, such as one from the AWS console, that ``encode`` has not produced."""
    try:
        return decode(variable)
    except ConfigurationError:
        return None


def encode_rollback(why: str, details: DecisionDetails) -> str:
    """Return the variable ``rollback``: the decision to send at the approval. A reason that is too long is cut."""
    while len(variable := _encode(summary_of(why, details))) > LENGTH:
        why = why[:-1]
    return variable


def decode_rollback(variable: str) -> tuple[str, DecisionDetails] | None:
    """Return the reason and the details of a rollback; None if the run is not a rollback."""
    if variable == NO_ROLLBACK:
        return None
    try:
        summary = _decode(variable).decode()
    except ValueError:  # typed in the AWS console
        return None
    why, details = read_summary(summary)
    return (why, details) if details.rollback_to else None


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _decode(variable: str) -> bytes:
    return base64.urlsafe_b64decode(variable + "=" * (-len(variable) % 4))
