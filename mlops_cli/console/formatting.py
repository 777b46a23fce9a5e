"""How values are written for people: durations, times, digests, statuses."""

from __future__ import annotations

import time

from mlops_cli.core.runs import ALREADY_APPROVED, StageRun, Status

# A mark beside the word, so that nothing is said by colour alone.
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
    """A time as the clock on the wall has it."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def iso(seconds: float) -> str:
    """A time for scripts: UTC, ISO 8601."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def short(digest: str) -> str:
    """Enough of a digest to recognise it."""
    return digest[:12] if digest else "-"


def number(value: float | None) -> str:
    """Three decimals, as befits shares of one; fewer of large numbers, the first digits of tiny ones."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 100:
        return f"{value:,.1f}" if size < 10_000 else f"{value:,.0f}"
    return f"{value:.3f}" if size >= 0.0005 or not size else f"{value:.2e}"


def describe_stage(stage: StageRun, explain: bool) -> str:
    """How long a stage took, and why it runs, was reused, waits or failed; why it ran only with --explain."""
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
