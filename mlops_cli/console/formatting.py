"""Values as text: durations, times, digests, statuses."""

from __future__ import annotations

import time

from mlops_cli.core.runs import ALREADY_APPROVED, StageRun, Status

# A mark beside the word, so that no meaning is in the colour alone.
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
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, remainder = divmod(int(seconds), 60)
    return f"{minutes} min {remainder:02d} s"


def format_datetime(seconds: float | None) -> str:
    """Return the local time."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def iso(seconds: float) -> str:
    """Return the time in UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def short(digest: str) -> str:
    return digest[:12] if digest else "-"


def number(value: float | None) -> str:
    """Return three decimals, for shares of one; fewer for large numbers, the first digits of tiny ones."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 100:
        return f"{value:,.1f}" if size < 10_000 else f"{value:,.0f}"
    return f"{value:.3f}" if size >= 0.0005 or not size else f"{value:.2e}"


def describe_stage(stage: StageRun, explain: bool) -> str:
    """Return a stage's duration and its reason.

    Run, reused, waiting, failed; the reason of a run only if ``explain``.
    """
    took = duration(stage.seconds) if stage.status in (Status.DONE, Status.FAILED) else ""
    unsent = stage.detail.get("unsent") or []
    read = f"has read {', '.join(unsent)}: a job on AWS would not have it" if unsent and took else ""
    return "  ".join(part for part in (took, describe_reason(stage, explain), read) if part)


def describe_reason(stage: StageRun, explain: bool) -> str:
    if stage.status is Status.WAITING:
        return stage.reason if stage.reason.startswith(ALREADY_APPROVED) else "for a decision"
    if stage.status is Status.DONE and not explain:
        return ""
    return stage.reason.split("\n")[0].rstrip(".:")
