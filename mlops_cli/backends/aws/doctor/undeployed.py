"""Check for settings that differ from the deployed pipeline's, and so have no effect yet."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.infra.deployed_settings import DEPLOY, differences
from mlops_cli.core.checks import Finding, State


def undeployed(subject: CheckContext) -> Iterator[Finding]:
    """Yield a warning for each such setting."""
    stack = subject.own_stack(subject.names.pipeline_stack)
    for difference in differences(subject.use_case, subject.settings, stack):
        text, _, _ = difference.partition(", which ")
        yield Finding("settings", State.WARNING, f"{text}.", "Runs use the deployed value.", DEPLOY)
