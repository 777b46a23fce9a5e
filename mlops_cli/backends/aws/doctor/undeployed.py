"""Settings that have no effect yet, since the pipeline was deployed with other values."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_cli.backends.aws.doctor.context import CheckContext
from mlops_cli.backends.aws.infra.deployed_settings import DEPLOY, differences
from mlops_cli.core.checks import Finding, State


def undeployed(subject: CheckContext) -> Iterator[Finding]:
    """Yield a warning per setting; nothing if all are deployed."""
    stack = subject.own_stack(subject.names.pipeline_stack)
    for difference in differences(subject.use_case, subject.settings, stack):
        text, _, _ = difference.partition(", which ")
        yield Finding("settings", State.WARNING, f"{text}.", "Runs use the deployed value.", DEPLOY)
