"""Pass requests through the handlers and the model, alone or in a batch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from mlops_cli.serving.control_files import Limits
from mlops_cli.serving.runtime.predict_api import PredictError, Prediction, parse, render
from mlops_cli.serving.runtime.saved_model import Model
from mlops_cli.serving.runtime.tensorflow_c import Array
from mlops_cli.serving.worker.batch import Batch, Invocation
from mlops_cli.serving.worker.handlers import DEFAULT, Handler, Handlers, Response


@dataclass
class State:
    """A request between its handlers: the model's input, its tensors, and the model's outputs."""

    sent: str | bytes
    prediction: Prediction
    outputs: dict[str, Array] = field(default_factory=dict)


class WholeHandler:
    """Answers requests with a package's ``handler``, which calls the model itself."""

    patience = 1

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def run(self, batch: Batch) -> None:
        for invocation in batch.invocations:
            batch.attempt(self._handle, invocation)

    def _handle(self, invocation: Invocation) -> None:
        invocation.answer = self._handler(io.BytesIO(invocation.body), invocation.context)


class Predictor:
    """Answers requests with one model and its handlers."""

    patience = 1

    def __init__(self, model: Model, handlers: Handlers, limits: Limits) -> None:
        self._model = model
        self._handlers = handlers
        self._limits = limits

    def run(self, batch: Batch) -> None:
        groups: dict[object, list[Invocation]] = {}
        for invocation in batch.invocations:
            if invocation.state is None:
                batch.attempt(self._prepare, invocation)
            if invocation.state is not None:
                groups.setdefault(self._group(invocation), []).append(invocation)
        for group in groups.values():
            self._predict(batch, group)
        for invocation in batch.invocations:
            batch.attempt(self._finish, invocation)

    def _handlers_of(self, invocation: Invocation) -> Handlers:
        return DEFAULT if invocation.predict_only else self._handlers

    def _prepare(self, invocation: Invocation) -> None:
        sent = self._handlers_of(invocation).before(io.BytesIO(invocation.body), invocation.context)
        invocation.state = State(sent, parse(sent, self._model.signature))

    def _group(self, invocation: Invocation) -> object:
        """Return the group of a request. Requests of one group share calls; one with inseparable rows runs alone."""
        prediction: Prediction = invocation.state.prediction
        if prediction.rows is None or not self._model.signature.is_batched:
            return invocation.number
        return prediction.kind

    def _predict(self, batch: Batch, group: list[Invocation]) -> None:
        if len(group) > 1 and batch.attempt_together(self._predict_together, group):
            return
        for invocation in group:
            batch.attempt(self._predict_alone, invocation)

    def _predict_alone(self, invocation: Invocation) -> None:
        state: State = invocation.state
        state.outputs = self._call(state.prediction.inputs, state.prediction.rows)

    def _predict_together(self, group: Sequence[Invocation]) -> None:
        states: list[State] = [invocation.state for invocation in group]
        rows = [state.prediction.rows or 0 for state in states]
        outputs = self._call(_joined([state.prediction.inputs for state in states]), sum(rows))
        if any(array.shape[0] != sum(rows) for array in outputs.values()):
            raise PredictError("the model's outputs do not have one row per instance", 500)
        for state, end, count in zip(states, accumulate(rows), rows, strict=True):
            state.outputs = {name: array[end - count : end] for name, array in outputs.items()}

    def _call(self, inputs: dict[str, Array], rows: int | None) -> dict[str, Array]:
        """Return the model's outputs. Many rows are run in parts, so that memory stays limited."""
        size = self._limits.batch_rows
        if rows is None or rows <= size or not self._model.signature.is_batched:
            return self._model.run(inputs)
        pieces = [
            self._model.run({name: array[start : start + size] for name, array in inputs.items()})
            for start in range(0, rows, size)
        ]
        return _joined(pieces)

    def _finish(self, invocation: Invocation) -> None:
        state: State = invocation.state
        document = render(state.prediction, state.outputs)
        response = Response(document, state.sent)
        invocation.answer = self._handlers_of(invocation).after(response, invocation.context)


def _joined(pieces: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
