"""The way of a request through the handlers and the model, alone or in a batch."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate

import falcon
import numpy as np

from mlops_cli.serving.batching import Batcher, QueueFullError
from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.handlers import DEFAULT, Answer, Context, Handler, Handlers, Response
from mlops_cli.serving.runtime.predict_api import PredictError, Prediction, parse, render
from mlops_cli.serving.runtime.saved_model import Model
from mlops_cli.serving.runtime.tensorflow_c import Array, TensorFlowError

log = logging.getLogger("mlops.server")

HANDLER_THREADS = 16


@dataclass
class Invocation:
    """One request and its result: body and content type, or an error."""

    body: bytes
    context: Context
    handlers: Handlers
    is_gone: Callable[[], bool] = field(default=lambda: False)
    error: Exception | None = None
    answer: Answer = (b"", "")
    sent: str | bytes = b""
    prediction: Prediction | None = None
    outputs: dict[str, Array] = field(default_factory=dict)
    expired: bool = False

    @property
    def size(self) -> int:
        return len(self.body)

    def is_cancelled(self) -> bool:
        return self.expired or self.is_gone()

    def attempt(self, step: Callable[[Invocation], None]) -> None:
        """Run one step unless an earlier one failed; a failure belongs to this request only."""
        if self.error is None:
            try:
                step(self)
            except SystemExit as error:
                self.error = RuntimeError(f"the handler asked the server to exit: {error}")
            except Exception as error:  # noqa: BLE001 - handlers are user code; the app logs and answers
                self.error = error


class Predictor:
    """Answers requests with one model and its handlers."""

    def __init__(self, model: Model, handlers: Handlers, limits: Limits) -> None:
        """Start the batching thread of the running event loop."""
        self._model = model
        self._handlers = handlers
        self._limits = limits
        self._batcher: Batcher[Invocation] = Batcher(self._run, limits)
        self._pool = ThreadPoolExecutor(HANDLER_THREADS, "handler")
        self._handling = 0

    async def invoke(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer:
        """Return the handlers' answer: body and content type.

        Raise QueueFullError, TimeoutError, falcon.HTTPError, or the handler's own exception.
        """
        if self._handlers.whole is not None:
            return await self._handle(self._handlers.whole, body, context)
        return await self._submit(Invocation(body, context, self._handlers, is_gone))

    async def predict(self, body: bytes, context: Context, is_gone: Callable[[], bool]) -> Answer:
        """Return TensorFlow Serving's answer to a predict request, without any handler."""
        return await self._submit(Invocation(body, context, DEFAULT, is_gone))

    @property
    def is_stuck(self) -> bool:
        """Return True if a handler or the model has been running for about the longest time of a request.

        Called after a request timed out; the work that it waits for began milliseconds after its own clock.
        """
        return self._batcher.busy_seconds > 0.9 * self._limits.request_seconds

    async def _handle(self, handler: Handler, body: bytes, context: Context) -> Answer:
        """Run a ``handler`` in a thread, since it waits for the model's answer itself."""
        if self._handling >= self._limits.waiting_requests:
            raise QueueFullError
        self._handling += 1
        try:
            loop = asyncio.get_running_loop()
            call = loop.run_in_executor(self._pool, handler, io.BytesIO(body), context)
            return await asyncio.wait_for(call, self._limits.request_seconds)
        except asyncio.TimeoutError:
            raise TimeoutError from None
        finally:
            self._handling -= 1

    async def _submit(self, invocation: Invocation) -> Answer:
        try:
            await asyncio.wait_for(self._batcher.submit(invocation), self._limits.request_seconds)
        except asyncio.TimeoutError:
            invocation.expired = True
            raise TimeoutError from None
        return invocation.answer

    def _run(self, batch: list[Invocation]) -> None:
        groups: dict[object, list[Invocation]] = {}
        for invocation in batch:
            invocation.attempt(self._prepare)
            if invocation.error is None and invocation.prediction is not None:
                groups.setdefault(self._group(invocation), []).append(invocation)
        for group in groups.values():
            self._predict(group)
        for invocation in batch:
            invocation.attempt(self._finish)

    def _prepare(self, invocation: Invocation) -> None:
        invocation.sent = invocation.handlers.before(io.BytesIO(invocation.body), invocation.context)
        invocation.prediction = parse(invocation.sent, self._model.signature)

    def _group(self, invocation: Invocation) -> object:
        """Return the group of a request: equal groups share calls; a request with inseparable rows is alone."""
        prediction = invocation.prediction
        if prediction is None or prediction.rows is None or not self._model.signature.is_batched:
            return id(invocation)
        return prediction.kind

    def _predict(self, group: list[Invocation]) -> None:
        if len(group) > 1:
            try:
                self._predict_together(group)
            except Exception:  # noqa: BLE001 - the request that caused the error gets it below
                log.info("a batch of %d requests failed; each is tried alone", len(group))
            else:
                return
        for invocation in group:
            invocation.attempt(self._predict_alone)

    def _predict_alone(self, invocation: Invocation) -> None:
        self._predict_together([invocation])

    def _predict_together(self, group: list[Invocation]) -> None:
        predictions = [invocation.prediction for invocation in group if invocation.prediction is not None]
        if len(group) == 1:
            group[0].outputs = self._call(predictions[0].inputs, predictions[0].rows)
            return
        rows = [prediction.rows or 0 for prediction in predictions]
        outputs = self._call(_joined([prediction.inputs for prediction in predictions]), sum(rows))
        if any(array.shape[0] != sum(rows) for array in outputs.values()):
            raise PredictError("the model's outputs do not have one row per instance", 500)
        for invocation, end, count in zip(group, accumulate(rows), rows, strict=True):
            invocation.outputs = {name: array[end - count : end] for name, array in outputs.items()}

    def _call(self, inputs: dict[str, Array], rows: int | None) -> dict[str, Array]:
        """Return the model's outputs; many rows are run in pieces, so that memory stays bounded."""
        size = self._limits.batch_rows
        if rows is None or rows <= size or not self._model.signature.is_batched:
            return self._model.run(inputs)
        pieces = [
            self._model.run({name: array[start : start + size] for name, array in inputs.items()})
            for start in range(0, rows, size)
        ]
        return _joined(pieces)

    def _finish(self, invocation: Invocation) -> None:
        if invocation.prediction is not None:
            document = render(invocation.prediction, invocation.outputs)
            invocation.answer = invocation.handlers.after(Response(document, invocation.sent), invocation.context)


def _joined(pieces: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def http_error(error: PredictError | TensorFlowError) -> falcon.HTTPError:
    """Return the container's error for an error of TensorFlow Serving."""
    if isinstance(error, TensorFlowError):
        error = PredictError(str(error), 400 if error.is_callers_fault else 500)
    return falcon.HTTPError(error.status, description=error.body)
