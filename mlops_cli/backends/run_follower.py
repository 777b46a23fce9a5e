"""Follow a run in another process or on AWS, and show its changes until it ends or waits for approval."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from mlops_cli.core.engine import RunView
from mlops_cli.core.jobs.script_job import progress_in
from mlops_cli.core.runs import Run, StageRun, Status

GOING_ON = (Status.PENDING, Status.RUNNING)
UNSEEN = (Status.PENDING, "")
Look = Callable[[], Run]
Read = Callable[[Run, StageRun], Iterable[str]]


@dataclass
class PollInterval:
    """The pause between two polls: short after a change, then longer and longer."""

    shortest: float
    longest: float
    growth: float = 1.5

    def __post_init__(self) -> None:
        self._next = self.shortest

    def wait(self, changed: bool) -> None:
        self._next = self.shortest if changed else min(self._next * self.growth, self.longest)
        time.sleep(self._next)


def follow(look: Look, read: Read, view: RunView, pace: PollInterval, shown_run: Run | None = None) -> Run:
    """Show the changes between polls in ``view``. Return the run once it needs a person or has ended.

    ``read`` returns the new lines of a running stage's log since its last call. ``shown_run`` is the run as last shown
    in ``view``.
    """
    shown = {stage.name: (stage.status, stage.reason) for stage in (shown_run.stages if shown_run else ())}
    while True:
        run = look()
        changed = [stage for stage in run.stages if shown.get(stage.name, UNSEEN) != (stage.status, stage.reason)]
        for stage in changed:
            _show_stage(run, stage, shown, view)
        if run.status not in GOING_ON:
            return run
        for stage in run.stages:
            if stage.status is Status.RUNNING:
                _show_progress(run, stage, read, view)
        pace.wait(bool(changed))


def _show_stage(run: Run, stage: StageRun, shown: dict[str, tuple[Status, str]], view: RunView) -> None:
    """Show the stage's change. If a stage has begun and ended between two polls, show its start, too."""
    before, _ = shown.get(stage.name, UNSEEN)
    if before is Status.PENDING and stage.status in (Status.DONE, Status.WAITING, Status.FAILED):
        view.stage_changed(run, replace(stage, status=Status.RUNNING, finished_at=None))
    shown[stage.name] = (stage.status, stage.reason)
    view.stage_changed(run, stage)


def _show_progress(run: Run, stage: StageRun, read: Read, view: RunView) -> None:
    """Show the progress of a running stage, or the last line of its log if it reports none."""
    lines = [line for line in read(run, stage) if line.strip()]
    updates = [progress for line in lines if (progress := progress_in(line))]
    for done, total, message in updates or [(0, 0, line.strip()) for line in lines[-1:]]:
        view.progress(stage.name, done, total, message)
