"""Values as text: durations, times, digests, statuses."""

from __future__ import annotations

import time

from mlops_cli.core import figures
from mlops_cli.core.runs import ALREADY_APPROVED, FOR_A_DECISION, TRAINED_IN, StageRun, Status
from mlops_cli.plain_text import clipped

# Of the reason of a failed stage: the command ends with the whole reason.
FAILURE_CHARACTERS = 160

# A mark beside the word, so that colour alone carries no meaning.
MARKS = {
    Status.PENDING: ("·", "dim"),
    Status.RUNNING: ("▶", "cyan"),
    Status.DONE: ("✓", "green"),
    Status.REUSED: ("=", "green"),
    Status.WAITING: ("?", "yellow"),
    Status.FAILED: ("✗", "red"),
    Status.INTERRUPTED: ("!", "yellow"),
    Status.REJECTED: ("✗", "red"),
    Status.SUPERSEDED: ("-", "dim"),
}


def duration(seconds: float | None) -> str:
    return "" if seconds is None else figures.duration(seconds)


def format_datetime(seconds: float | None) -> str:
    """Return the local time."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def iso(seconds: float) -> str:
    """Return the time in UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def short(digest: str) -> str:
    return digest[:12] if digest else "-"


def number(value: float | None) -> str:
    return "-" if value is None else figures.number(value)


def describe_stage(stage: StageRun, explain: bool) -> str:
    """Return a stage's duration and its reason.

    The reason of a stage that ran is included only with ``explain``.
    """
    took = duration(stage.seconds) if stage.status in (Status.DONE, Status.FAILED) else ""
    unsent = stage.detail.get("unsent") or []
    read = f"has read {', '.join(unsent)}: a job on AWS would not have it" if unsent and took else ""
    return "  ".join(part for part in (took, describe_reason(stage, explain), read) if part)


def describe_reason(stage: StageRun, explain: bool) -> str:
    if stage.status is Status.WAITING:
        return stage.reason if stage.reason.startswith((ALREADY_APPROVED, FOR_A_DECISION)) else FOR_A_DECISION
    if stage.status is Status.DONE and not explain and not stage.reason.startswith(TRAINED_IN):
        return ""
    first = stage.reason.split("\n")[0].rstrip(".:")
    return clipped(first, FAILURE_CHARACTERS) if stage.status is Status.FAILED else first
