"""Check that the scripts of all stages exist, before a run starts."""

from __future__ import annotations

from pathlib import Path

from mlops_cli.core.stages import STAGES, position
from mlops_cli.errors import ConfigurationError


def require_scripts(training: Path, from_stage: str = "") -> None:
    """Raise ConfigurationError if a script of this stage or of a later one is missing."""
    stages = STAGES[position(from_stage) if from_stage else 0 :]
    missing = [
        str(training / stage.script) for stage in stages if stage.script and not (training / stage.script).is_file()
    ]
    if missing:
        restore = "Restore it" if len(missing) == 1 else "Restore them"
        is_missing = "is missing" if len(missing) == 1 else "are missing"
        raise ConfigurationError(f"{', '.join(missing)} {is_missing}.", f"{restore}, then: mlops run")
