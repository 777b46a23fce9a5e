"""A run, shown while it runs: a live table of its stages on a terminal, lines with times elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from mlops_cli.console.formatting import describe_stage
from mlops_cli.core.runs import Run, StageRun, Status

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.table import Table

LINE_SECONDS = 5.0


class View(Protocol):
    """A RunView that is opened and closed."""

    def stage_changed(self, run: Run, stage: StageRun) -> None: ...

    def progress(self, stage: str, done: int, total: int, message: str) -> None: ...

    def __enter__(self) -> View: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LineView:
    """Print one line when a stage begins and one when it ends, and its progress every few seconds."""

    def __init__(self, say: Callable[[str], None], explain: bool) -> None:
        self._say = say
        self._explain = explain
        self._run = ""
        self._last = 0.0

    def __enter__(self) -> LineView:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def stage_changed(self, run: Run, stage: StageRun) -> None:
        if run.id != self._run:
            self._run = run.id
            self._line("run", " ".join([run.id, *(f"{name}={value}" for name, value in run.overrides.items())]))
        self._line(stage.name, f"{stage.status.value:<11} {describe_stage(stage, self._explain)}".rstrip())

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        if time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            share = f"{done}/{total} " if total else ""
            self._line(stage, f"{share}{message}".rstrip())

    def _line(self, stage: str, text: str) -> None:
        self._say(f"{time.strftime('%H:%M:%S')}  {stage:<20} {text}")


class TableView:
    """Draw the stages as a table, and redraw it."""

    def __init__(self, console: RichConsole, explain: bool) -> None:
        from rich.live import Live

        self._explain = explain
        self._run: Run | None = None
        self._progress: dict[str, str] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> TableView:
        """Draw nothing before the first stage, because the command may ask a question until then."""
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def stage_changed(self, run: Run, stage: StageRun) -> None:
        self._run = run
        if stage.status is not Status.RUNNING:
            self._progress.pop(stage.name, None)
        self._live.start()
        self._live.refresh()

    def progress(self, stage: str, done: int, total: int, message: str) -> None:
        share = f"{done / total:.0%}" if total else ""
        self._progress[stage] = f"{share} {message}".strip()

    def _render(self) -> Table | str:
        from mlops_cli.console.tables import stage_table

        return stage_table(self._run, self._progress, self._explain) if self._run else ""
