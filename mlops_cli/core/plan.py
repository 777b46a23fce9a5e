"""A plan as data: the resources to create, change, remove or keep, with reasons. Showing it changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(str, Enum):
    ADD = "add"
    CHANGE = "change"
    REPLACE = "replace"
    REMOVE = "remove"
    STOP = "stop"
    KEEP = "keep"


@dataclass(frozen=True)
class Change:
    """One resource of a plan.

    ``data_loss``: the data that the change destroys for good. ``created_by_mlops``: mlops created this resource, which
    stays.
    """

    action: Action
    resource: str
    reason: str = ""
    data_loss: str = ""
    created_by_mlops: bool = False


@dataclass(frozen=True)
class Plan:
    changes: tuple[Change, ...]

    @property
    def active(self) -> tuple[Change, ...]:
        """The changes, without the kept resources."""
        return tuple(change for change in self.changes if change.action is not Action.KEEP)
