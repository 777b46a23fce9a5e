"""The texts of `cleanup`: the reasons in its plan, its question and its result, for both targets. No IO.

The descriptions of files in .mlops/ are beside their names, in ``backends/local/cleanup/owned_files.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

# The command.
COSTS = "costs that end"
DRY_RUN, NOTHING_TO_REMOVE = "dry run: nothing was changed", "nothing to remove"
QUESTION = "Stop and remove all of this?"
REFUSED = "Nothing was removed.", "Show the plan again: mlops cleanup --dry-run"
STOPPED = "Stopped; not everything is removed.", "To continue, repeat the command."

# Reasons to keep something, on both targets.
YOURS = "yours"
KEEP_DATA = "--keep-data"
NOT_OURS = "not created by mlops"

# On this machine.
RUNNING_HERE = "it is running in this project"
LEFT_BY_COMMAND = "left by an earlier command"
LEFT_BY_INIT = "left by a killed init"
EMPTY = "empty, left by a killed command"
WITHOUT_FOLDER = "an endpoint whose folder was removed"
NOT_OURS_OR_LINK = f"{NOT_OURS}, or a link"
DATA_SOURCE = "the data source"
FRAME_NEEDED = "needed while .mlops/ contains other files"

# On AWS.
SERVING = "it answers, and is billed"
IN_PROGRESS = "in progress"
OF_RUN = "of a run"
ENDED_JOBS = "records of ended jobs"
OUTSIDE_OF_STACK = "not in a stack"
OTHER_PROJECT = f"{NOT_OURS} for this project"
BUCKET_EXISTED = "it existed before; other objects in it stay"
CONNECTION = "the connection and its repository"
LOCAL_STATE = "local state; to remove it: mlops --target local cleanup"
SHARED_LOGS = "shared by all jobs of the account"
SHARED_RULE = "managed by AWS, shared by all state machines of the account"


def remaining(resource: str, reason: str) -> str:
    return f"remains: {resource}" + (f"  {reason}" if reason else "")


def verified(kept: Sequence[str], keep_data: bool) -> str:
    """Return the result of the final check. ``kept``: everything of mlops that stays."""
    if kept:
        return f"verified: of everything that mlops created, only {', '.join(kept)} remain"
    return "verified: no resources created by mlops remain" + (" except the data" if keep_data else "")


def unproven(delete: str) -> str:
    return f"no proof that mlops created it. To delete it: {delete}"


def foreign_objects(keys: Sequence[str]) -> str:
    return f"it contains objects that mlops did not create, such as {', '.join(keys)}" if keys else ""


def log_streams(kind: str, group: str) -> str:
    return f"of {kind} jobs, in {group}"
