"""The streams: results on stdout; with --json only JSON on stdout, and everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from mlops_cli.console.command_line import CommandLine
from mlops_cli.console.streams import lost_stream
from mlops_cli.core.secrets import hidden, without_secrets
from mlops_cli.errors import ConfigurationError, MlopsError
from mlops_cli.plain_text import clipped, log_line, printable
from mlops_cli.project.settings.terminal import plain_terminal, terminal_columns

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

    from mlops_cli.console.live.live_run import View
    from mlops_cli.console.live.progress import ProgressDisplay
    from mlops_cli.core.progress import Watch

PLAIN_WIDTH = 110


# A longer error line is of no more use to a person.
LONGEST_LINE = 2_000


class Console:
    """``quiet`` shows only results and errors; ``verbose`` adds details."""

    def __init__(
        self,
        as_json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        command_line: CommandLine = CommandLine(),  # noqa: B008 (it is immutable)
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.command_line = command_line

    @property
    def messages(self) -> TextIO:
        return sys.stderr if self.as_json else sys.stdout

    @property
    def live(self) -> bool:
        """True if the output may be redrawn: on a terminal, unless plain output is requested."""
        return self.messages.isatty() and not plain_terminal() and not self.quiet

    def rich(self, stream: TextIO | None = None) -> RichConsole:
        from rich.console import Console as RichConsole

        stream = stream or self.messages
        width = terminal_columns() or (None if stream.isatty() else PLAIN_WIDTH)
        return RichConsole(
            file=stream, width=width, highlight=False, no_color=plain_terminal() or None, soft_wrap=False
        )

    @property
    def width(self) -> int:
        return self.rich().width

    def say(self, text: str = "", address: str = "") -> None:
        """Show a message, except with -q. ``address`` is appended unchanged: its signature is the requested result."""
        if not self.quiet:
            text = without_secrets(self.command_line.completed(text))
            print(printable(text) + printable(address), file=self.messages, flush=True)

    def note(self, text: str) -> None:
        """Show a detail, only with -v."""
        if self.verbose:
            self.say(text)

    def show(self, *renderables: Any) -> None:
        """Show tables and text, except with --json: its result has the same content."""
        if not self.as_json:
            for renderable in renderables:
                self._print(renderable)

    def _print(self, renderable: Any) -> None:
        from rich.console import Group

        from mlops_cli.console.cells import PlainTable, styled

        console = self.rich()
        if isinstance(renderable, str):
            renderable = styled(renderable)
        if isinstance(renderable, PlainTable):
            renderable = Group(*renderable.fitted(console.width))
        if console.is_terminal:
            console.print(renderable)
            return
        with console.capture() as captured:
            console.print(renderable)
        lines = captured.get().splitlines()
        print("\n".join(line.rstrip() for line in lines), file=self.messages, flush=True)

    def print_log(self, lines: Iterable[str]) -> None:
        """Print a program's output, except with --json."""
        for line in () if self.as_json else lines:
            print(without_secrets(log_line(line)), flush=True)

    def result(self, value: Any, **addresses: str) -> None:
        """Print the result as JSON, only with --json. ``addresses`` are added unchanged, as by ``say``."""
        if self.as_json:
            shown = {**hidden(value), **addresses} if addresses else hidden(value)
            print(json.dumps(shown, indent=2, default=str), flush=True)

    def next(self, *commands: str) -> None:
        """Name the next commands."""
        for command in commands:
            self.say(f"next: {command}")

    def error(self, message: str, hint: str, exit_code: int) -> None:
        message, hint = (_clipped(without_secrets(text)) for text in (message, self.command_line.completed(hint)))
        print(f"error: {printable(message)}", file=sys.stderr)
        if hint:
            print(f"hint: {printable(hint)}", file=sys.stderr)
        with contextlib.suppress(OSError):  # its output may be closed
            self.result({"error": {"message": message, "hint": hint, "exit_code": exit_code}})

    def confirm(self, question: str, yes: bool) -> bool:
        """Ask a question; ``yes`` answers it. Raise ConfigurationError if no person is at a terminal."""
        if yes:
            return True
        self.require_person(yes)
        if error := lost_stream():
            raise MlopsError(
                f"The question and its details could not be shown: {error.strerror}. Nothing was done.",
                f"Confirm it: {self.command_line.repeated('--yes')}",
            )
        print(f"{printable(without_secrets(question))} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def has_person(self) -> bool:
        """True if a person can answer a question."""
        return sys.stdin.isatty()

    def require_person(self, yes: bool) -> None:
        """Raise ConfigurationError if nobody can answer a question: no --yes, and no terminal."""
        if not yes and not self.has_person:
            raise ConfigurationError(
                "This needs a confirmation, but there is no terminal.",
                f"Confirm it: {self.command_line.repeated('--yes')}",
            )

    @contextmanager
    def progress(self) -> Iterator[ProgressDisplay]:
        """Provide a Report: bars on a terminal, lines elsewhere."""
        from mlops_cli.console.live.progress import Bars, Lines

        shown: ProgressDisplay = Bars(self.rich()) if self.live else Lines(self.say)
        try:
            yield shown
        finally:
            shown.close()

    @contextmanager
    def run_view(self, explain: bool = False) -> Iterator[View]:
        """Provide a RunView: a live table on a terminal, lines with times elsewhere."""
        from mlops_cli.console.live.live_run import LineView, TableView

        view: View = TableView(self.rich(), explain) if self.live else LineView(self.say, explain)
        with view:
            yield view

    @contextmanager
    def resource_view(self) -> Iterator[Watch]:
        """Provide a Watch: a live tree on a terminal, lines with times elsewhere."""
        from mlops_cli.console.live.resource_tree import Lines, Tree

        view: Tree | Lines = Tree(self.rich()) if self.live else Lines(self.say)
        with view:
            yield view


def _clipped(text: str) -> str:
    return "\n".join(clipped(line, LONGEST_LINE) for line in text.split("\n"))
