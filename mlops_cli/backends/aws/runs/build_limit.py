"""The time limit of a stage's build in CodeBuild. No IO."""

from __future__ import annotations

from mlops_cli.core.jobs.time_limits import TimeLimits
from mlops_cli.core.stages import STAGES, Kind, Stage
from mlops_cli.errors import ConfigurationError

# Time for installations before the longest gate.
INSTALL_MINUTES = 15
SHORTEST_MINUTES = 60
LONGEST_MINUTES = 2160  # CodeBuild's limits
DECISION_MINUTES = 60  # TimeoutInMinutes of the deciding steps' project, which runs no gate


def build_minutes(limits: TimeLimits) -> int:
    """Return TimeoutInMinutes of the build project: enough for every gate."""
    return max(SHORTEST_MINUTES, limits.of(longest_gate(limits)) + INSTALL_MINUTES)


def checked_build_minutes(limits: TimeLimits) -> int:
    """Return ``build_minutes``. Raise ConfigurationError if a gate may run longer than CodeBuild allows."""
    minutes = build_minutes(limits)
    if minutes > LONGEST_MINUTES:
        gate, most = longest_gate(limits), LONGEST_MINUTES - INSTALL_MINUTES
        raise ConfigurationError(
            f"{gate.name} has {limits.of(gate):,} minutes in [time_limits], but a build of CodeBuild ends after "
            f"{LONGEST_MINUTES:,}, {INSTALL_MINUTES} of which it needs to install packages.",
            f"Set {gate.name} in [time_limits] of usecase.toml to {most:,} or less.",
        )
    return minutes


def longest_gate(limits: TimeLimits) -> Stage:
    return max((stage for stage in STAGES if stage.kind is Kind.GATE), key=limits.of)
