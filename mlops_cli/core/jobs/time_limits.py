"""The longest run time of a stage. No IO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops_cli.core.stages import DOWNLOAD, Kind, Stage

# In minutes; far longer than any stage that makes progress.
DEFAULTS = {Kind.PROCESSING: 240, Kind.GATE: 30, Kind.TRAINING: 24 * 60, Kind.DEPLOY: 2}
LONGEST = 28 * 24 * 60


@dataclass(frozen=True)
class TimeLimits:
    """``minutes``: the limits in [time_limits] of usecase.toml, by stage."""

    minutes: Mapping[str, int] = field(default_factory=dict)

    def of(self, stage: Stage) -> int:
        return self.minutes.get(stage.name, DEFAULTS[stage.kind])

    @property
    def of_download(self) -> int:
        return self.minutes.get(DOWNLOAD, DEFAULTS[Kind.PROCESSING])


def time_limit_message(stage: str, minutes: float) -> str:
    return (
        f"it was ended after {minutes:g} minutes, its time limit; for a longer one set {stage} in [time_limits] of "
        "usecase.toml"
    )
