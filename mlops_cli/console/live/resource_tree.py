"""Resources while they are created or deleted: a live tree on a terminal, lines with times elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlops_cli.console.formatting import duration
from mlops_cli.core.progress import ResourceEvent

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.text import Text
    from rich.tree import Tree as RichTree

TURNING_BACK = ("ROLLBACK", "DELETE")


class Lines:
    """Print one line when a group begins, and one for each finished resource."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: ResourceEvent) -> None:
        if event.ended or event.name == event.group:
            at = time.strftime("%H:%M:%S", time.localtime(event.at or None))
            kind = f" ({event.kind})" if event.kind else ""
            subject = event.name if event.name == event.group else f"{event.group}  {event.name}{kind}"
            self._say(f"{at}  {subject}  {event.status}  {event.reason}".rstrip())


class Tree:
    """Draw each group with its resources, and redraw it."""

    def __init__(self, console: RichConsole) -> None:
        from rich.live import Live

        self._groups: dict[str, dict[str, ResourceEvent]] = {}
        self._began: dict[tuple[str, str], float] = {}
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Tree:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: ResourceEvent) -> None:
        self._groups.setdefault(event.group, {})[event.name] = event
        self._began.setdefault((event.group, event.name), event.at)

    def _render(self) -> RichTree:
        from rich.tree import Tree as RichTree

        from mlops_cli.console.cells import styled

        top = RichTree("", hide_root=True)
        for group, events in self._groups.items():
            own = events.get(group)
            branch = top.add(self._line(own) if own else styled(group))
            for name, event in events.items():
                if name != group:
                    branch.add(self._line(event))
        return top

    def _line(self, event: ResourceEvent) -> Text:
        from mlops_cli.console.cells import joined, styled

        mark, style = _mark(event)
        until = event.at if event.ended else time.time()
        took = duration(max(0.0, until - self._began[event.group, event.name]))
        kind = "" if event.name == event.group else styled(event.kind, "dim")
        took_and_reason = styled(f"{took} {event.reason}", "dim")
        return joined(styled(mark, style), event.name, kind, event.status, took_and_reason)


def _mark(event: ResourceEvent) -> tuple[str, str]:
    if event.failed:
        return "✗", "red"
    if event.ended:
        return "✓", "yellow" if event.status.startswith(TURNING_BACK) else "green"
    return "▶", "cyan"
