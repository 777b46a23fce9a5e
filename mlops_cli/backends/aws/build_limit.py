"""How long CodeBuild lets a stage's build run. No IO."""

from __future__ import annotations

from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.stages import STAGES, Kind, Stage

# For the longest gate, before which a build installs what the gate needs.
INSTALL_MINUTES = 15
SHORTEST_MINUTES = 60
LONGEST_MINUTES = 2160  # CodeBuild's
DECISION_MINUTES = 60  # TimeoutInMinutes of the deciding steps' project: they run no gate


def build_minutes(limits: TimeLimits) -> int:
    """Return TimeoutInMinutes of the build project, so that every gate has its time."""
    return max(SHORTEST_MINUTES, limits.of(longest_gate(limits)) + INSTALL_MINUTES)


def longest_gate(limits: TimeLimits) -> Stage:
    return max((stage for stage in STAGES if stage.kind is Kind.GATE), key=limits.of)
