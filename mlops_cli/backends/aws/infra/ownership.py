"""The owner of stacks: two projects with the same use case and environment in one account share their stacks' names."""

from __future__ import annotations

import re

from mlops_cli.backends.aws.account import Account
from mlops_cli.backends.aws.clients.change_sets import EMPTY
from mlops_cli.backends.aws.clients.cloudformation import Stack, Stacks
from mlops_cli.backends.aws.resource_names import OWNER_TAG, ResourceNames
from mlops_cli.core.models.decision import arn_name
from mlops_cli.errors import EXIT_USAGE, MlopsError
from mlops_cli.project.settings.values import Settings

ASSUMED_ROLE = ":assumed-role/"
NOT_IN_TAGS = re.compile(r"[^\w .:/=+@-]")


def owner_name(settings: Settings, account: Account) -> str:
    """Return the setting, or else the caller's name: of a user, of a person's session, or of a machine's role.

    A machine's session has another name each time; the name of its role stays the same.
    """
    if settings["OWNER"]:
        return settings["OWNER"]
    arn = account.identity.arn
    role, _, session = arn.partition(ASSUMED_ROLE)[2].partition("/")
    return NOT_IN_TAGS.sub("-", role if role and "@" not in session else arn_name(arn))


def owner_of(stack: Stack | None, default: str) -> str:
    """Return the owner of a stack; the default owner for a new stack or one without an owner."""
    return (stack.tags.get(OWNER_TAG) if stack else "") or default


def require_owner(
    stacks: Stacks, names: ResourceNames, settings: Settings, account: Account, claims: bool = False
) -> str:
    """Return the owner. Raise MlopsError if a stack of the project has another owner, or none.

    ``claims``: accept a stack without an owner, because `deploy-infra` becomes its owner.
    """
    owner = owner_name(settings, account)
    for name in (names.storage_stack, names.pipeline_stack):
        stack = stacks.get_or_none(name)
        if stack is None or not stacks.owns(stack):
            continue
        holder = stack.tags.get(OWNER_TAG, "")
        if not holder and not claims and stack.status != EMPTY:
            raise MlopsError(
                f"The stack {name} has no owner: its tag {OWNER_TAG} is missing. Nothing was changed.",
                f"If it is yours: mlops deploy-infra sets the tag to {owner} (or to OWNER).",
                EXIT_USAGE,
            )
        if holder not in ("", owner):
            raise MlopsError(
                f"The stack {name} belongs to {holder}, and you are {owner}. Nothing was changed.",
                f"For stacks of your own choose another STAGE. To work on those of {holder}: set OWNER={holder}",
                EXIT_USAGE,
            )
    return owner
