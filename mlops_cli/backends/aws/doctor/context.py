"""The context of the checks: the project's use case, settings and resource names in one account and region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.cloudformation import Stack, Stacks
from mlops_cli.backends.aws.infra.deployed_settings import machines_of_runs
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.data.metadata import DatasetInfo
from mlops_cli.project.paths import Project
from mlops_cli.project.settings.values import Settings
from mlops_cli.project.usecase.instances import InstanceSettings
from mlops_cli.project.usecase.use_case import UseCase


@dataclass(frozen=True)
class CheckContext:
    project: Project
    use_case: UseCase
    settings: Settings
    account: Account
    names: ResourceNames
    dataset: Callable[[], DatasetInfo | None]

    @property
    def endpoint(self) -> str:
        return self.settings.endpoint_name(self.use_case.name)

    @cached_property
    def stacks(self) -> Stacks:
        return Stacks(self.account, self.names)

    @cached_property
    def machines(self) -> InstanceSettings:
        """Return the instances of a run that starts now."""
        return machines_of_runs(self.use_case, self.settings, self.own_stack(self.names.pipeline_stack))

    def own_stack(self, name: str) -> Stack | None:
        """Return the project's stack of this name; None if it does not exist or has another owner."""
        stack = self.stacks.get_or_none(name)
        return stack if stack and self.stacks.owns(stack) else None
