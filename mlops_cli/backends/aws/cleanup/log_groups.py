"""Log groups that an AWS service creates again after their stack was deleted.

Such a group has no tag, and its name proves nothing: another owner's endpoint with the same name logs into the same
group. The group is ours if three things are true: our stack had a group of this name (CloudFormation keeps deleted
stacks for 90 days), the group was created before the stack's deletion or soon after it, and no other owner's endpoint
writes into it.
"""

from __future__ import annotations

import math

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.cleanup.sagemaker import TaggedResources, ignore_not_found
from mlops_cli.backends.aws.clients.cloudformation import Stacks
from mlops_cli.backends.aws.clients.logs import BUILD_LOGS, ENDPOINT_LOGS
from mlops_cli.backends.aws.errors import or_none
from mlops_cli.backends.aws.resource_names import ResourceNames
from mlops_cli.core import cleanup_texts as texts
from mlops_cli.core.plan import Action, Change

# For this long after the deletion of their stack, an endpoint or a build may still write logs.
LATE_SECONDS = 3600.0
DELETE = "aws logs delete-log-group --log-group-name {} --region {}"


class LogGroups:
    def __init__(
        self, account: Account, stacks: Stacks, tagged: TaggedResources, names: ResourceNames, endpoint: str
    ) -> None:
        self._logs = account.client("logs")
        self._sagemaker = account.client("sagemaker")
        self._region = account.region
        self._stacks = stacks
        self._stack = names.pipeline_stack
        self._endpoint = endpoint
        self._tagged = tagged
        self._names = (BUILD_LOGS.format(names.pipeline_stack), ENDPOINT_LOGS.format(endpoint))

    def list_resources(self) -> list[Change]:
        return [Change(Action.REMOVE, f"log group {name}") for name, ours in self._existing_groups().items() if ours]

    def remove(self) -> None:
        for name, ours in self._existing_groups().items():
            if ours:
                ignore_not_found(self._logs.delete_log_group, logGroupName=name)

    def kept(self) -> list[Change]:
        """Return the groups that have one of our names, but no proof that mlops created them."""
        names = [name for name, ours in self._existing_groups().items() if not ours]
        reasons = {name: texts.unproven(DELETE.format(name, self._region)) for name in names}
        return [Change(Action.KEEP, f"log group {name}", reason) for name, reason in reasons.items()]

    def _existing_groups(self) -> dict[str, bool]:
        """Return the existing groups with these names. The value is True if the group is ours."""
        listed = (self._logs.pages("describe_log_groups", "logGroups", logGroupNamePrefix=name) for name in self._names)
        every = [group for groups in listed for group in groups if group["logGroupName"] in self._names]
        until = self._created_until() if every else {}
        return {
            name: group["creationTime"] / 1000 <= until.get(name, 0.0) and not self._in_use_elsewhere(name)
            for group in every
            for name in [group["logGroupName"]]
        }

    def _created_until(self) -> dict[str, float]:
        """Return the names of the groups that our stack has or had, each with the latest creation time that is ours."""
        until: dict[str, float] = {}
        for stack in self._stacks.present_and_deleted(self._stack):
            names, last = self._stacks.physical_ids(stack)
            late = last + LATE_SECONDS if stack.is_deleted else math.inf
            until |= {name: max(late, until.get(name, 0.0)) for name in self._names if name in names}
        return until

    def _in_use_elsewhere(self, name: str) -> bool:
        """Return True if another owner's endpoint writes into the group."""
        if name != ENDPOINT_LOGS.format(self._endpoint):
            return False
        description = or_none(self._sagemaker.describe_endpoint, EndpointName=self._endpoint)
        return description is not None and not self._tagged.owns(description["EndpointArn"])
