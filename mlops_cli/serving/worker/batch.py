"""The requests that one thread of a worker answers together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlops_cli.serving.worker.failures import describe
from mlops_cli.serving.worker.handlers import Answer, Context
from mlops_cli.serving.worker.progress_board import ProgressBoard

log = logging.getLogger("mlops.server")

# Finished requests of a long batch are answered after this number of seconds, before the others are computed.
DELIVERY_SECONDS = 0.02


@dataclass(eq=False)
class Invocation:
    """One request and its result: body and content type, or an error. ``state``: belongs to the engine."""

    number: int
    body: bytes
    context: Context
    predict_only: bool = False  # TensorFlow Serving's own route: no handlers
    alone: bool = False
    error: BaseException | None = None
    answer: Answer | None = None
    state: Any = None
    is_delivered: bool = False

    @property
    def is_finished(self) -> bool:
        return self.answer is not None or self.error is not None


@dataclass(eq=False)
class Batch:
    """Runs the steps of requests. A step that fails or hangs affects only its own requests.

    ``thread``: the row on the board. Other threads and processes can see the step that runs at present.
    """

    invocations: list[Invocation]
    board: ProgressBoard
    thread: int
    deliver: Callable[[Batch], None]
    current: tuple[Invocation, ...] = ()
    started: float = 0.0
    keeps: bool = True
    kept: tuple[Invocation, ...] | None = None
    delivered: float = field(default_factory=time.monotonic)

    def attempt(self, step: Callable[[Invocation], None], invocation: Invocation) -> None:
        """Run one step of a request, unless an earlier step has failed. Keep the error in the request."""
        if invocation.error is None and not self._is_handed_over(invocation):
            self._begin((invocation,))
            try:
                step(invocation)
            except SystemExit as error:
                invocation.error = RuntimeError(f"the handler asked the server to exit: {error}")
            except BaseException as error:  # noqa: BLE001 - handlers are user code; the error becomes an answer
                invocation.error = error
            finally:
                self._end()

    def attempt_together(
        self, step: Callable[[Sequence[Invocation]], None], group: Sequence[Invocation], keeps: bool = True
    ) -> bool:
        """Run one step of several requests. If it fails, keep no error and return False.

        ``keeps``: if the step takes long, its requests stay with this thread. Otherwise another thread takes them, too.
        """
        group = [invocation for invocation in group if not self._is_handed_over(invocation)]
        if not group:
            return True
        self._begin(tuple(group), keeps)
        try:
            step(group)
        except BaseException as error:  # noqa: BLE001 - each request is tried alone
            log.info("%d requests failed together, each is tried alone: %s", len(group), describe(error))
            return False
        finally:
            self._end()
        return True

    def busy_seconds(self, now: float) -> float:
        """Return for how many seconds the present step has been running."""
        return now - self.started if self.current else 0.0

    def hand_over(self) -> list[Invocation]:
        """Keep only the requests of the present step, if it keeps them. Return the other ones for another thread."""
        self.kept = self.current if self.keeps else ()
        numbers = {invocation.number for invocation in self.kept}
        return [each for each in self.invocations if not each.is_finished and each.number not in numbers]

    def _is_handed_over(self, invocation: Invocation) -> bool:
        return self.kept is not None and all(invocation is not own for own in self.kept)

    def _begin(self, invocations: tuple[Invocation, ...], keeps: bool = True) -> None:
        self.started = time.monotonic()
        if self.started - self.delivered > DELIVERY_SECONDS:
            self.delivered = self.started
            self.deliver(self)
        self.board.begin(self.thread, [invocation.number for invocation in invocations])
        self.current, self.keeps = invocations, keeps

    def _end(self) -> None:
        self.current = ()
        self.board.end(self.thread)
