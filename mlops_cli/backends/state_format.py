"""The error for a project's state that another version of mlops has written, for both targets."""

from __future__ import annotations

from mlops_cli.errors import MlopsError


def other_format_error(location: str, actual: object, supported: int) -> MlopsError:
    return MlopsError(
        f"{location} was written by another version of mlops (format {actual}, this one reads {supported}).",
        "Use that version. Or start again without the runs, their models and the endpoint: mlops cleanup --keep-data",
    )
