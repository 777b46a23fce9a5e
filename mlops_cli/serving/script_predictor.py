"""The way of a request through the functions of a script model: one request at a time, as a container's worker does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mlops_cli.serving.batching import Batcher
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.handlers import Answer, Context
from mlops_cli.serving.script_model import AnswerError, ScriptModel


@dataclass
class Call:
    """One request and its result."""

    body: bytes
    context: Context
    is_gone: Callable[[], bool] = field(default=lambda: False)
    answer: Answer = (b"", "")
    error: Exception | None = None
    expired: bool = False

    @property
    def size(self) -> int:
        return len(self.body)

    def is_cancelled(self) -> bool:
        return self.expired or self.is_gone()


class ScriptPredictor:
    """Answers requests with a script model."""

    def __init__(self, model: ScriptModel, limits: Limits) -> None:
        """Start the thread of the running event loop that calls the model."""
        self._model = model
        self._limits = limits
        # Only one thread ever calls the functions: their author knows of no other.
        self._queue: Batcher[Call] = Batcher(self._run, replace(limits, batch_requests=1))

    async def invoke(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer:
        """Return the functions' answer: body and content type. Raise QueueFullError, TimeoutError or AnswerError."""
        call = Call(body, context, is_gone)
        try:
            await asyncio.wait_for(self._queue.submit(call), self._limits.request_seconds)
        except asyncio.TimeoutError:
            call.expired = True
            raise TimeoutError from None
        return call.answer

    async def predict(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer:  # noqa: ARG002
        """Refuse: only TensorFlow's container has this route."""
        raise AnswerError(404, "This model is not served by TensorFlow Serving.")

    @property
    def is_stuck(self) -> bool:
        """Return True if a function has been running for about the longest time of a request."""
        return self._queue.busy_seconds > 0.9 * self._limits.request_seconds

    def _run(self, calls: list[Call]) -> None:
        for call in calls:
            context = call.context
            try:
                call.answer = self._model.answer(call.body, context.request_content_type, context.accept_header)
            except SystemExit as error:
                call.error = RuntimeError(f"the function asked the server to exit: {error}")
            except AnswerError as error:
                call.error = error
