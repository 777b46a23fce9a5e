"""Progress: moving bars with rate and remaining time on a terminal, occasional lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mlops_cli.console.formatting import duration
from mlops_cli.core import figures
from mlops_cli.plain_text import one_line

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

LINE_SECONDS = 5.0


class ProgressDisplay(Protocol):
    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None: ...

    def close(self) -> None: ...


class Bars:
    """Draw one bar for each phase."""

    def __init__(self, console: RichConsole) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}", markup=False),
        )
        self._progress = Progress(*columns, console=console)
        self._tasks: dict[str, tuple[int, float]] = {}
        self._progress.start()

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None:
        if phase not in self._tasks:
            task = self._progress.add_task(one_line(phase), total=total, count="")
            self._tasks[phase] = (int(task), time.monotonic())
        task_id, started = self._tasks[phase]
        count = describe(done, total, unit, time.monotonic() - started)
        self._progress.update(task_id, completed=done, total=total, count=count)  # type: ignore[arg-type]

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """Print at most one line every few seconds, and one at the end of each phase."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._phase = ""
        self._started = self._last = 0.0
        self._pending = ""

    def __call__(self, phase: str, done: int, total: int | None, unit: str) -> None:
        now = time.monotonic()
        if phase != self._phase:
            self.close()
            self._phase, self._started, self._last = phase, now, now
        self._pending = f"{phase}: {describe(done, total, unit, now - self._started)}"
        if now - self._last >= LINE_SECONDS:
            self.close()
            self._last = now

    def close(self) -> None:
        if self._pending:
            self._say(f"{time.strftime('%H:%M:%S')}  {self._pending}")
        self._pending = ""


def describe(done: int, total: int | None, unit: str, seconds: float) -> str:
    """Return the amount done, the rate and the remaining time."""
    amount = size(done, unit) + (f" of {size(total, unit)}" if total else "")
    if seconds < 0.5 or not done:
        return amount
    remaining = (total - done) * seconds / done if total else 0.0
    return f"{amount}, {size(done / seconds, unit)}/s" + (f", {duration(remaining)} left" if remaining > 0 else "")


def size(number: float, unit: str) -> str:
    """Return a count with its unit; bytes in powers of 1,000."""
    count = f"{number:,.0f}"
    return figures.byte_size(number) if unit == "B" else f"{count} {unit.removesuffix('s') if count == '1' else unit}"
